"""Durable commands in one process: 1,000 accounts, 64 in flight, every command with its id."""

import time
from collections.abc import Mapping

import uvloop

from benchmarks.bank import AGGREGATES, app, deposits, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.in_flight import all_done
from benchmarks.limits.sqlite_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.system import connected, open_accounts
from twofold import Application

__all__ = ["BENCHMARK"]

COMMANDS = 100_000
PEER_COMMANDS = 4_000


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(_commands(job, write_side))


def ours_with_projector(job: Job) -> Mapping[str, float]:
    return uvloop.run(_commands(job, app))


async def _commands(job: Job, application: Application) -> Mapping[str, float]:
    count = job.scaled(COMMANDS)
    async with connected(application, job.folder) as system:
        await open_accounts(system)
        commands = enumerate(deposits(count))
        used_s = time.process_time()
        seconds = await all_done(system.send(command, command_id=f"id-{number}") for number, command in commands)
        used_s = time.process_time() - used_s
    return {"commands_per_s": count / seconds, "cpu_us_each": used_s * 1_000_000 / count}


def limit(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": group_insert(job.folder, job.scaled(COMMANDS))}


def peer(job: Job) -> Mapping[str, float]:
    """By so many threads, cached and not; the best of them is the peer's figure."""
    rates = {
        f"threads_{threads}{'' if cached else '_uncached'}_per_s": eventsourcing_bank.commands_per_s(
            job.folder, aggregates=AGGREGATES, count=job.scaled(PEER_COMMANDS), threads=threads, cached=cached
        )
        for threads, cached in ((1, True), (1, False), (8, True), (64, True))
    }
    return {"commands_per_s": max(rates.values()), **rates}


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
