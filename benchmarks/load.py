"""Aggregates loaded cold: one command to each of many accounts of 1,000 events, none of them in memory."""

from collections.abc import Mapping
from decimal import Decimal

import uvloop

from benchmarks.bank import Deposit, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.in_flight import all_done
from benchmarks.logs import deposit_commits, event_log, fill
from benchmarks.peers import eventsourcing_log
from benchmarks.system import connected, sqlite_url

__all__ = ["BENCHMARK"]

EVENTS_EACH = 1_000
ACCOUNTS = 300


def ours(job: Job) -> Mapping[str, float]:
    return {"events_per_s": uvloop.run(_events_per_s(job))}


async def _events_per_s(job: Job) -> float:
    accounts = job.scaled(ACCOUNTS)
    url = sqlite_url(job.folder)
    async with event_log(url) as log:
        await fill(log, deposit_commits(accounts * EVENTS_EACH, events=20, aggregates=accounts))
    async with connected(write_side, url) as system:
        commands = (Deposit(account_id=f"a{number}", amount=Decimal(1)) for number in range(accounts))
        return accounts * EVENTS_EACH / await all_done(system.send(command) for command in commands)


def peer(job: Job) -> Mapping[str, float]:
    rate = eventsourcing_log.load_per_s(job.folder, events=EVENTS_EACH, times=job.scaled(ACCOUNTS) // 3)
    return {"events_per_s": rate}


BENCHMARK = Benchmark(
    name="load",
    about="events/s while aggregates of 1,000 events are loaded cold, 64 at a time",
    sides={"twofold": ours, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.events_per_s", at_least=300_000),
        Target(figure="twofold.events_per_s", of="eventsourcing.events_per_s"),
    ),
)
