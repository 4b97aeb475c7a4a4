"""Durable commands in one process on PostgreSQL: 1,000 accounts, 64 in flight, every command with its id."""

from collections.abc import Mapping
from functools import partial

import uvloop

from benchmarks.bank import AGGREGATES, app, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits.pgbench import transactions
from benchmarks.limits.postgres_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.postgres.database import bare_server, migrated, url_of
from benchmarks.work import commands_in_flight

__all__ = ["BENCHMARK"]

COMMANDS = 200_000
PEER_COMMANDS = 6_000
PGBENCH_S = 10


def ours(job: Job) -> Mapping[str, float]:
    with migrated(job) as server:
        return uvloop.run(commands_in_flight(write_side, url_of(server), job.scaled(COMMANDS)))


def ours_with_projector(job: Job) -> Mapping[str, float]:
    with migrated(job) as server:
        return uvloop.run(commands_in_flight(app, url_of(server), job.scaled(COMMANDS)))


def pgbench(job: Job, *, clients: int) -> Mapping[str, float]:
    with bare_server(job) as server:
        return transactions(server, clients=clients, seconds=job.scaled(PGBENCH_S))


def limit(job: Job) -> Mapping[str, float]:
    with bare_server(job) as server:
        return {"commands_per_s": group_insert(server.url(), job.scaled(COMMANDS))}


def peer(job: Job, *, functions: bool = False) -> Mapping[str, float]:
    """By so many threads, cached and not; the best of them is the peer's figure."""
    ways = {"threads_1": (1, True), "threads_1_uncached": (1, False), "threads_8": (8, True), "threads_64": (64, True)}
    with bare_server(job) as server:
        return eventsourcing_bank.best_commands_per_s(
            {
                f"{name}_per_s": (
                    eventsourcing_bank.postgres(server.url(), cached=cached, connections=threads, functions=functions),
                    threads,
                )
                for name, (threads, cached) in ways.items()
            },
            aggregates=AGGREGATES,
            count=job.scaled(PEER_COMMANDS),
        )


BENCHMARK = Benchmark(
    name="in_process_commands",
    about="durable commands/s in process, PostgreSQL, 1,000 aggregates, 64 in flight",
    sides={
        "twofold": ours,
        "twofold_and_projector": ours_with_projector,
        **{f"pgbench_{clients}": partial(pgbench, clients=clients) for clients in (1, 8, 64)},
        "psycopg": limit,
        "eventsourcing": peer,
        "eventsourcing_functions": partial(peer, functions=True),
    },
    targets=(
        Target(figure="twofold.commands_per_s", at_least=30_000),
        Target(figure="twofold.commands_per_s", of="pgbench_64.commands_per_s", at_least=2.5),
        Target(figure="twofold.commands_per_s", of="eventsourcing.commands_per_s", at_least=20),
        Target(figure="twofold.commands_per_s", of="eventsourcing_functions.commands_per_s"),
        Target(figure="twofold.commands_per_s", of="psycopg.commands_per_s"),
    ),
)
