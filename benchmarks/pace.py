"""Latencies of one thing done again and again: alone with pauses, and on a schedule that waits for nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["PAUSE_S", "RATE_PER_S", "idle_and_busy", "percentiles"]

RATE_PER_S = 200
PAUSE_S = 0.01


async def idle_and_busy(once: Callable[[int], Awaitable[float]], count: int) -> Mapping[str, float]:
    """Figures of `once(number)`, which returns its milliseconds: half as often alone, and at 200 a second."""
    return percentiles("idle", await _idle(once, count // 2)) | percentiles("busy", await _scheduled(once, count))


async def _idle(once: Callable[[int], Awaitable[float]], count: int) -> Sequence[float]:
    taken: list[float] = []
    for number in range(count):
        taken.append(await once(number))
        await asyncio.sleep(PAUSE_S)
    return taken


async def _scheduled(once: Callable[[int], Awaitable[float]], count: int) -> Sequence[float]:
    loop = asyncio.get_running_loop()
    started = loop.time()
    tasks: list[asyncio.Task[float]] = []
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(started + number / RATE_PER_S - loop.time())
            tasks.append(group.create_task(_awaited(once(number))))
    return [task.result() for task in tasks]


async def _awaited(value: Awaitable[float]) -> float:
    return await value


def percentiles(name: str, taken_ms: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken_ms)
    return {f"{name}_p{share}_ms": ordered[len(ordered) * share // 100] for share in (50, 99)}
