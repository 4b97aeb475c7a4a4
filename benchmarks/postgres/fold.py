"""A read model folded from position 1 to the head on PostgreSQL: one row per account, and a shop's order details."""

from collections.abc import Mapping

import uvloop

from benchmarks import bank, retail
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits import postgres_fold
from benchmarks.logs import commits_of, deposit_commits
from benchmarks.peers import eventsourcing_bank, eventsourcing_projection
from benchmarks.postgres.database import bare_server, migrated, url_of
from benchmarks.work import fold

__all__ = ["BENCHMARK"]

EVENTS = 300_000
PEER_EVENTS = 5_000


def accounts(job: Job) -> Mapping[str, float]:
    with migrated(job) as server:
        return uvloop.run(fold(bank.app, url_of(server), deposit_commits(job.scaled(EVENTS), events=10)))


def orders(job: Job) -> Mapping[str, float]:
    with migrated(job) as server:
        commits = commits_of(retail.lines(job.retail, job.scaled(EVENTS)))
        return uvloop.run(fold(retail.app, url_of(server), commits))


def limit(job: Job) -> Mapping[str, float]:
    with bare_server(job) as server:
        return {"events_per_s": postgres_fold.fold(server.url(), job.scaled(EVENTS))}


def peer(job: Job) -> Mapping[str, float]:
    with bare_server(job) as server:
        environment = eventsourcing_bank.postgres(server.url())
        return {"events_per_s": eventsourcing_projection.fold_per_s(environment, count=job.scaled(PEER_EVENTS))}


BENCHMARK = Benchmark(
    name="fold",
    about="events/s folded into a read model on PostgreSQL: one row per account; order details of a shop's history",
    sides={"accounts": accounts, "orders": orders, "psycopg_accounts": limit, "eventsourcing_accounts": peer},
    targets=(
        Target(figure="accounts.events_per_s", at_least=120_000),
        Target(figure="accounts.events_per_s", of="psycopg_accounts.events_per_s"),
        Target(figure="accounts.events_per_s", of="eventsourcing_accounts.events_per_s"),
    ),
)
