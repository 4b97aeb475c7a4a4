"""Everyone buys one product: 64 in flight on one aggregate, and a tenth more buyers than units."""

from collections import Counter
from collections.abc import Mapping

import uvloop

from benchmarks.bank import BuyNow, StockProduct, write_side
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.in_flight import all_done
from benchmarks.limits.sqlite_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.system import connected
from twofold import Rejected, System, TwofoldError

__all__ = ["BENCHMARK"]

UNITS = 100_000
PEER_UNITS = 4_000


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(_sale(job))


async def _sale(job: Job) -> Mapping[str, float]:
    units = job.scaled(UNITS)
    answers: Counter[str] = Counter()
    async with connected(write_side, job.folder) as system:
        await system.send(StockProduct(sku="p1", units=units))
        seconds = await all_done(_buy(system, number, answers) for number in range(units))
        await all_done(_buy(system, number, answers) for number in range(units, units + units // 10))
    refused = answers.pop("sold-out", 0)
    sold = answers.pop("ok", 0)
    return {
        "commands_per_s": units / seconds,
        "oversold": sold - units,
        "wrongly_refused": refused - units // 10,
        "conflicts_shown": answers.total(),
    }


async def _buy(system: System, number: int, answers: Counter[str]) -> None:
    try:
        await system.send(BuyNow(sku="p1", customer=f"c{number}"), command_id=f"id-{number}")
    except Rejected as refusal:
        answers[refusal.code] += 1
    except TwofoldError as error:
        answers[error.code] += 1
    else:
        answers["ok"] += 1


def limit(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": group_insert(job.folder, job.scaled(UNITS), aggregates=1)}


def peer(job: Job) -> Mapping[str, float]:
    return {"commands_per_s": eventsourcing_bank.sales_per_s(job.folder, units=job.scaled(PEER_UNITS))}


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
