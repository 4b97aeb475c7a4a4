"""Everyone buys one product: 64 in flight on one aggregate, and a tenth more buyers than units."""

from collections.abc import Mapping

import uvloop

from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits.sqlite_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.system import sqlite_url
from benchmarks.work import sale

__all__ = ["BENCHMARK"]

UNITS = 100_000
PEER_UNITS = 4_000


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(sale(sqlite_url(job.folder), job.scaled(UNITS)))


def limit(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": group_insert(job.folder, job.scaled(UNITS), aggregates=1)}


def peer(job: Job) -> Mapping[str, float]:
    environment = eventsourcing_bank.sqlite(job.folder / "shop.db")
    return {"commands_per_s": eventsourcing_bank.sales_per_s(environment, units=job.scaled(PEER_UNITS))}


BENCHMARK = Benchmark(
    name="flash_sale",
    about="durable commands/s on one aggregate, in process, 64 in flight",
    sides={"twofold": ours, "sqlite3": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.commands_per_s", at_least=30_000),
        Target(figure="twofold.oversold", at_most=0, at_least=0),
        Target(figure="twofold.wrongly_refused", at_most=0, at_least=0),
        Target(figure="twofold.conflicts_shown", at_most=0),
        Target(figure="twofold.commands_per_s", of="sqlite3.commands_per_s"),
        Target(figure="twofold.commands_per_s", of="eventsourcing.commands_per_s"),
    ),
)
