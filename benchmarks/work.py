"""What ours is measured at, in one process, on whichever event log the URL names."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping

from benchmarks.bank import BuyNow, StockProduct, deposits, write_side
from benchmarks.in_flight import all_done
from benchmarks.logs import event_log, fill
from benchmarks.system import connected, open_accounts
from twofold import Application, Rejected, System, TwofoldError
from twofold.ports import Commit

__all__ = ["commands_in_flight", "commands_one_at_a_time", "fold", "sale"]

FOLD_TIMEOUT_S = 600.0


async def commands_in_flight(app: Application, url: str, count: int) -> Mapping[str, float]:
    """Deposits to 1,000 accounts, 64 in flight, every command with its id."""
    async with connected(app, url) as system:
        await open_accounts(system)
        commands = [(command, f"id-{number}") for number, command in enumerate(deposits(count))]
        used_s = time.process_time()
        seconds = await all_done(system.send(command, command_id=command_id) for command, command_id in commands)
        used_s = time.process_time() - used_s
    return {"commands_per_s": count / seconds, "cpu_us_each": used_s * 1_000_000 / count}


async def commands_one_at_a_time(app: Application, url: str, count: int) -> Mapping[str, float]:
    async with connected(app, url) as system:
        await open_accounts(system)
        started = time.perf_counter()
        for number, command in enumerate(deposits(count)):
            await system.send(command, command_id=f"id-{number}")
        return {"commands_per_s": count / (time.perf_counter() - started)}


async def sale(url: str, units: int) -> Mapping[str, float]:
    """Everyone buys one product, 64 in flight, and a tenth more buyers than units."""
    answers: Counter[str] = Counter()
    async with connected(write_side, url) as system:
        await system.send(StockProduct(sku="p1", units=units))
        seconds = await all_done(_buy(system, number, answers) for number in range(units))
        await all_done(_buy(system, number, answers) for number in range(units, units + units // 10))
    refused, sold = answers.pop("sold-out", 0), answers.pop("ok", 0)
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


async def fold(app: Application, url: str, commits: Iterator[Commit]) -> Mapping[str, float]:
    """Events per second, from opening the system on a full log until all of it is in the read model."""
    async with event_log(url) as log:
        head = await fill(log, commits)
    started = time.perf_counter()
    async with connected(app, url) as system:
        await system.settle(timeout_s=FOLD_TIMEOUT_S)
        return {"events_per_s": head / (time.perf_counter() - started)}
