"""Durable commands one after another: the price of one decision and one fsync, with nothing to share them."""

from collections.abc import Mapping

import uvloop

from benchmarks.bank import AGGREGATES, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits.sqlite_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.system import sqlite_url
from benchmarks.work import commands_one_at_a_time

__all__ = ["BENCHMARK"]

COMMANDS = 8_000


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(commands_one_at_a_time(write_side, sqlite_url(job.folder), job.scaled(COMMANDS)))


def limit(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": group_insert(job.folder, job.scaled(COMMANDS), group=1)}


def peer(job: Job) -> Mapping[str, float]:
    environment = eventsourcing_bank.sqlite(job.folder / "bank.db")
    count = job.scaled(COMMANDS)
    rate = eventsourcing_bank.commands_per_s(environment, aggregates=AGGREGATES, count=count, threads=1)
    return {"commands_per_s": rate}


BENCHMARK = Benchmark(
    name="one_at_a_time",
    about="durable commands/s in process, one after another",
    sides={"twofold": ours, "sqlite3": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.commands_per_s", at_least=3_500),
        Target(figure="twofold.commands_per_s", of="sqlite3.commands_per_s"),
    ),
)
