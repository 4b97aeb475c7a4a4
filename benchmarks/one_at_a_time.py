"""Durable commands one after another: the price of one decision and one fsync, with nothing to share them."""

import time
from collections.abc import Mapping

import uvloop

from benchmarks.bank import AGGREGATES, deposits, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits.sqlite_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.system import connected, open_accounts

__all__ = ["BENCHMARK"]

COMMANDS = 8_000


def ours(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": uvloop.run(_commands_per_s(job))}


async def _commands_per_s(job: Job) -> float:
    count = job.scaled(COMMANDS)
    async with connected(write_side, job.folder) as system:
        await open_accounts(system)
        started = time.perf_counter()
        for number, command in enumerate(deposits(count)):
            await system.send(command, command_id=f"id-{number}")
        return count / (time.perf_counter() - started)


def limit(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": group_insert(job.folder, job.scaled(COMMANDS), group=1)}


def peer(job: Job) -> Mapping[str, float]:
    count = job.scaled(COMMANDS)
    rate = eventsourcing_bank.commands_per_s(job.folder, aggregates=AGGREGATES, count=count, threads=1)
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
