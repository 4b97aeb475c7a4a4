"""So many calls at a time, from one process."""

import asyncio
import time
from collections.abc import Coroutine, Iterator

__all__ = ["IN_FLIGHT", "all_done"]

IN_FLIGHT = 64


async def all_done(calls: Iterator[Coroutine[None, None, object]], in_flight: int = IN_FLIGHT) -> float:
    """Await all of them, `in_flight` at a time, by as many tasks; the seconds it took."""

    async def work() -> None:
        for call in calls:
            await call

    started = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(in_flight):
            workers.create_task(work())
    return time.perf_counter() - started
