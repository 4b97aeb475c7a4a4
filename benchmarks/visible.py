"""From accepted to visible: a command is acknowledged, and then a query with its position is answered.

Alone, a command at a time with pauses; and on a schedule of 200 commands a second that waits for nobody.
"""

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal

import uvloop

from benchmarks.bank import AGGREGATES, BalanceOf, Deposit, app
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.system import connected, open_accounts
from twofold import System

__all__ = ["BENCHMARK"]

SAMPLES = 2_000
RATE_PER_S = 200
PAUSE_S = 0.01


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(_ours(job))


async def _ours(job: Job) -> Mapping[str, float]:
    count = job.scaled(SAMPLES)
    async with connected(app, job.folder) as system:
        await open_accounts(system)
        idle = await _idle(system, count // 2)
        busy = await _scheduled(system, count)
    return {"idle_p50_ms": _at(idle, 0.5), "idle_p99_ms": _at(idle, 0.99)} | {
        "busy_p50_ms": _at(busy, 0.5),
        "busy_p99_ms": _at(busy, 0.99),
    }


async def _idle(system: System, count: int) -> list[float]:
    taken: list[float] = []
    for number in range(count):
        await _visible(system, number, taken)
        await asyncio.sleep(PAUSE_S)
    return taken


async def _scheduled(system: System, count: int) -> list[float]:
    taken: list[float] = []
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.TaskGroup() as commands:
        for number in range(count):
            await asyncio.sleep(started + number / RATE_PER_S - loop.time())
            commands.create_task(_visible(system, number, taken))
    return taken


async def _visible(system: System, number: int, taken: list[float]) -> None:
    account_id = f"a{number * 7919 % AGGREGATES}"
    done = await system.send(Deposit(account_id=account_id, amount=Decimal(1)))
    accepted = time.perf_counter()
    await system.ask(BalanceOf(account_id=account_id), after=done.position)
    taken.append((time.perf_counter() - accepted) * 1000)


def _at(taken: list[float], share: float) -> float:
    return sorted(taken)[int(len(taken) * share)]


BENCHMARK = Benchmark(
    name="visible",
    about="milliseconds from the acknowledged command to the query that shows it; busy: 200 commands/s",
    sides={"twofold": ours},
    targets=(
        Target(figure="twofold.idle_p50_ms", at_most=1.5),
        Target(figure="twofold.idle_p99_ms", at_most=10),
        Target(figure="twofold.busy_p50_ms", at_most=1.5),
        Target(figure="twofold.busy_p99_ms", at_most=10),
    ),
)
