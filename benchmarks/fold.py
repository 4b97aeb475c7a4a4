"""A read model folded from position 1 to the head: one row per account, and the order details of a shop's history."""

from collections.abc import Mapping

import uvloop

from benchmarks import bank, retail
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits import sqlite_fold
from benchmarks.logs import commits_of, deposit_commits
from benchmarks.peers import eventsourcing_log
from benchmarks.system import sqlite_url
from benchmarks.work import fold

__all__ = ["BENCHMARK"]

EVENTS = 300_000
PEER_EVENTS = 5_000


def accounts(job: Job) -> Mapping[str, float]:
    return uvloop.run(fold(bank.app, sqlite_url(job.folder), deposit_commits(job.scaled(EVENTS), events=10)))


def orders(job: Job) -> Mapping[str, float]:
    commits = commits_of(retail.lines(job.retail, job.scaled(EVENTS)))
    return uvloop.run(fold(retail.app, sqlite_url(job.folder), commits))


def limit(job: Job) -> Mapping[str, float]:
    return {"events_per_s": sqlite_fold.fold(job.folder, job.scaled(EVENTS))}


def peer(job: Job) -> Mapping[str, float]:
    return {"events_per_s": eventsourcing_log.fold_per_s(job.folder, count=job.scaled(PEER_EVENTS))}


BENCHMARK = Benchmark(
    name="fold",
    about="events/s folded into a durable read model: one row per account; order details of a shop's history",
    sides={"accounts": accounts, "orders": orders, "sqlite3_accounts": limit, "eventsourcing_accounts": peer},
    targets=(
        Target(figure="accounts.events_per_s", at_least=150_000),
        Target(figure="orders.events_per_s", at_least=150_000),
        Target(figure="accounts.events_per_s", of="sqlite3_accounts.events_per_s"),
        Target(figure="accounts.events_per_s", of="eventsourcing_accounts.events_per_s"),
    ),
)
