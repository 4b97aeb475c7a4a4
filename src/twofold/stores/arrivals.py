"""Who waits for events that are not there yet, within one event loop."""

from __future__ import annotations

import asyncio

from twofold.streams import Position

__all__ = ["Arrivals"]


class Arrivals:
    """The head as this process knows it, and those who sleep until it moves. Only for the event loop's own thread."""

    def __init__(self, head: Position) -> None:
        self.head = head
        self._sleepers: set[asyncio.Future[None]] = set()

    def reach(self, head: Position) -> None:
        """Set the head and wake everyone; they see for themselves whether it is far enough."""
        self.head = head
        sleepers, self._sleepers = self._sleepers, set()
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def wait(self, after: Position, timeout_s: float) -> bool:
        """Sleep until the head is beyond `after`, at most `timeout_s` seconds; whether it is."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.head <= after:
                    await self._next()
        except TimeoutError:
            return False
        return True

    async def _next(self) -> None:
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            await sleeper
        finally:
            self._sleepers.discard(sleeper)
