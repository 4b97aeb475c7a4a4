"""From accepted to visible: a command is acknowledged, and then a query with its position is answered.

Alone, a command at a time with pauses; and on a schedule of 200 commands a second that waits for nobody.
"""

import time
from collections.abc import Mapping
from decimal import Decimal

import uvloop

from benchmarks.bank import AGGREGATES, BalanceOf, Deposit, app
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.pace import idle_and_busy
from benchmarks.system import connected, open_accounts, sqlite_url
from twofold import System

__all__ = ["BENCHMARK"]

SAMPLES = 2_000


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(_ours(job))


async def _ours(job: Job) -> Mapping[str, float]:
    async with connected(app, sqlite_url(job.folder)) as system:
        await open_accounts(system)
        return await idle_and_busy(lambda number: _visible(system, number), job.scaled(SAMPLES))


async def _visible(system: System, number: int) -> float:
    account_id = f"a{number * 7919 % AGGREGATES}"
    done = await system.send(Deposit(account_id=account_id, amount=Decimal(1)))
    accepted = time.perf_counter()
    await system.ask(BalanceOf(account_id=account_id), after=done.position)
    return (time.perf_counter() - accepted) * 1000


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
