"""A read model folded from position 1 to the head: one row per account, and the order details of a shop's history."""

import time
from collections.abc import Iterator, Mapping

import uvloop

from benchmarks import bank, retail
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits import sqlite_fold
from benchmarks.logs import commits_of, deposit_commits, event_log, fill
from benchmarks.peers import eventsourcing_log
from benchmarks.system import connected
from twofold import Application
from twofold.ports import Commit

__all__ = ["BENCHMARK"]

EVENTS = 300_000
PEER_EVENTS = 5_000
FOLD_TIMEOUT_S = 600.0


def accounts(job: Job) -> Mapping[str, float]:
    commits = deposit_commits(job.scaled(EVENTS), events=10)
    return {"events_per_s": uvloop.run(_events_per_s(job, bank.app, commits))}


def orders(job: Job) -> Mapping[str, float]:
    commits = commits_of(retail.lines(job.retail, job.scaled(EVENTS)))
    return {"events_per_s": uvloop.run(_events_per_s(job, retail.app, commits))}


async def _events_per_s(job: Job, app: Application, commits: Iterator[Commit]) -> float:
    """From opening the system on a full log until all of it is in the read model."""
    async with event_log(job.folder) as log:
        head = await fill(log, commits)
    started = time.perf_counter()
    async with connected(app, job.folder) as system:
        await system.settle(timeout_s=FOLD_TIMEOUT_S)
        return head / (time.perf_counter() - started)


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
