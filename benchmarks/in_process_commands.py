"""Durable commands in one process: 1,000 accounts, 64 in flight, every command with its id."""

from collections.abc import Mapping

import uvloop

from benchmarks.bank import AGGREGATES, app, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits.sqlite_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.system import sqlite_url
from benchmarks.work import commands_in_flight

__all__ = ["BENCHMARK"]

COMMANDS = 100_000
PEER_COMMANDS = 4_000


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(commands_in_flight(write_side, sqlite_url(job.folder), job.scaled(COMMANDS)))


def ours_with_projector(job: Job) -> Mapping[str, float]:
    return uvloop.run(commands_in_flight(app, sqlite_url(job.folder), job.scaled(COMMANDS)))


def limit(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": group_insert(job.folder, job.scaled(COMMANDS))}


def peer(job: Job) -> Mapping[str, float]:
    """By so many threads, cached and not; the best of them is the peer's figure."""
    ways = ((1, True), (1, False), (8, True), (64, True))
    return eventsourcing_bank.best_commands_per_s(
        {
            f"threads_{threads}{'' if cached else '_uncached'}_per_s": (
                eventsourcing_bank.sqlite(job.folder / f"bank-{threads}-{cached}.db", cached=cached),
                threads,
            )
            for threads, cached in ways
        },
        aggregates=AGGREGATES,
        count=job.scaled(PEER_COMMANDS),
    )


BENCHMARK = Benchmark(
    name="in_process_commands",
    about="durable commands/s in process, SQLite synchronous=FULL, 1,000 aggregates, 64 in flight",
    sides={"twofold": ours, "twofold_and_projector": ours_with_projector, "sqlite3": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.commands_per_s", at_least=25_000),
        Target(figure="twofold.commands_per_s", of="eventsourcing.commands_per_s", at_least=15),
        Target(figure="twofold.commands_per_s", of="sqlite3.commands_per_s"),
    ),
)
