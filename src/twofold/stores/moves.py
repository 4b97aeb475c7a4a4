"""Who waits for a checkpoint to move, within one event loop."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from twofold.stores.arrivals import Arrivals
from twofold.streams import Position

__all__ = ["Moves"]


class Moves:
    """Counts moves. A task that waits again and again misses none, also when others wait beside it."""

    def __init__(self) -> None:
        self._made = Arrivals(Position(0))
        self._seen_by_any = Position(0)
        self._seen: WeakKeyDictionary[asyncio.Task[Any], Position] = WeakKeyDictionary()

    def moved(self) -> None:
        """Wake everyone."""
        self._made.reach(Position(self._made.head + 1))

    async def wait(self, timeout_s: float) -> None:
        """Sleep until there is a move that the calling task has not been woken for, at most `timeout_s` seconds."""
        task = asyncio.current_task()
        seen = self._seen_by_any if task is None else self._seen.get(task, self._seen_by_any)
        await self._made.wait(seen, timeout_s)
        self._seen_by_any = self._made.head
        if task is not None:
            self._seen[task] = self._made.head
