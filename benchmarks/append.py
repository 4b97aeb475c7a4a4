"""EventLog.append alone: groups of 64 commits of one event with their command ids, one group at a time."""

import time
from collections.abc import Mapping

import uvloop

from benchmarks.bank import AGGREGATES
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits.rows import GROUP
from benchmarks.limits.sqlite_group import group_insert
from benchmarks.logs import deposit_commits, event_log
from benchmarks.peers import eventsourcing_log

__all__ = ["BENCHMARK"]

EVENTS = 100_000
PEER_EVENTS = 20_000


def ours(job: Job) -> Mapping[str, float]:
    return {
        "events_per_s": uvloop.run(_events_per_s(job, "with", ids=True)),
        "events_without_ids_per_s": uvloop.run(_events_per_s(job, "without", ids=False)),
    }


async def _events_per_s(job: Job, name: str, *, ids: bool) -> float:
    count = job.scaled(EVENTS)
    commits = list(deposit_commits(count, ids=ids))
    async with event_log(f"sqlite:///{job.folder / name}.db") as log:
        started = time.perf_counter()
        for start in range(0, count, GROUP):
            await log.append(commits[start : start + GROUP])
        return count / (time.perf_counter() - started)


def limit(job: Job) -> Mapping[str, float]:
    with_ids = group_insert(job.folder, job.scaled(EVENTS))
    (job.folder / "limit.db").unlink()
    return {
        "events_per_s": with_ids,
        "events_without_ids_per_s": group_insert(job.folder, job.scaled(EVENTS), commands=False),
    }


def peer(job: Job) -> Mapping[str, float]:
    """Its recorder knows no command ids."""
    rate = eventsourcing_log.append_per_s(job.folder, aggregates=AGGREGATES, count=job.scaled(PEER_EVENTS))
    return {"events_without_ids_per_s": rate}


BENCHMARK = Benchmark(
    name="append",
    about="EventLog.append in groups of 64, SQLite synchronous=FULL, events/s",
    sides={"twofold": ours, "sqlite3": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.events_per_s", of="sqlite3.events_per_s"),
        Target(figure="twofold.events_without_ids_per_s", of="sqlite3.events_without_ids_per_s"),
        Target(figure="twofold.events_without_ids_per_s", of="eventsourcing.events_without_ids_per_s"),
    ),
)
