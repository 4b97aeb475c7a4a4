"""How far a read model has come, for those who wait for a position, and for those who watch."""

from __future__ import annotations

import asyncio
import bisect

from twofold.errors import TwofoldError
from twofold.streams import Position

__all__ = ["Progress"]


class Progress:
    """The position that a read model's rows reflect, its state, and the queries that wait for more.

    `error` says why the last page could not be folded; it is empty once one was.
    """

    def __init__(self, read_model: str) -> None:
        self.read_model = read_model
        self.position = Position(0)
        self.error = ""
        self.rebuilding = False
        self._going = asyncio.Event()
        self._going.set()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @property
    def state(self) -> str:
        """ "paused", "rebuilding", "failed" or "running": the first of these that holds."""
        if not self._going.is_set():
            return "paused"
        if self.rebuilding:
            return "rebuilding"
        return "failed" if self.error else "running"

    def moved_to(self, position: Position) -> None:
        """The rows reflect everything up to the position."""
        self.position, self.error = position, ""
        while self._waiting and self._waiting[0][0] <= position:
            _, _, future = self._waiting.pop(0)
            if not future.done():
                future.set_result(None)

    def failed(self, error: Exception) -> None:
        self.error = str(error) if isinstance(error, TwofoldError) else f"{type(error).__name__}: {error}"

    def pause(self) -> None:
        self._going.clear()

    def resume(self) -> None:
        self._going.set()

    async def not_paused(self) -> None:
        await self._going.wait()

    async def reached(self, position: int, timeout_s: float) -> bool:
        """Wait until the rows reflect the position, at most so many seconds; False when they don't then."""
        if self.position >= position:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (position, id(future), future)
        bisect.insort(self._waiting, waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return self.position >= position
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return True
