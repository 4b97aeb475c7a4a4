"""Durable commands one after another on PostgreSQL: the price of one decision, one round trip and one fsync."""

from collections.abc import Mapping

import uvloop

from benchmarks.bank import AGGREGATES, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits.postgres_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.postgres.database import bare_server, migrated, url_of
from benchmarks.work import commands_one_at_a_time

__all__ = ["BENCHMARK"]

COMMANDS = 8_000


def ours(job: Job) -> Mapping[str, float]:
    with migrated(job) as server:
        return uvloop.run(commands_one_at_a_time(write_side, url_of(server), job.scaled(COMMANDS)))


def limit(job: Job) -> Mapping[str, float]:
    with bare_server(job) as server:
        return {"commands_per_s": group_insert(server.url(), job.scaled(COMMANDS), group=1)}


def peer(job: Job) -> Mapping[str, float]:
    with bare_server(job) as server:
        environment = eventsourcing_bank.postgres(server.url())
        count = job.scaled(COMMANDS)
        rate = eventsourcing_bank.commands_per_s(environment, aggregates=AGGREGATES, count=count, threads=1)
    return {"commands_per_s": rate}


BENCHMARK = Benchmark(
    name="one_at_a_time",
    about="durable commands/s in process, PostgreSQL, one after another",
    sides={"twofold": ours, "psycopg": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.commands_per_s", at_least=2_000),
        Target(figure="twofold.commands_per_s", of="psycopg.commands_per_s"),
        Target(figure="twofold.commands_per_s", of="eventsourcing.commands_per_s"),
    ),
)
