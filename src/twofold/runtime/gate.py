"""Admission: how much work may wait, and a door that closes when the system stops."""

from __future__ import annotations

import asyncio

from twofold.errors import OverloadedError, StoppingError

__all__ = ["Gate"]


class Gate:
    """Counts what is inside: `with gate:` raises OverloadedError when full and StoppingError once it is closed."""

    def __init__(self, what: str, limit: int) -> None:
        self._what, self._limit = what, limit
        self._inside = 0
        self.refused = 0
        """How many were not let in because it was full."""
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __enter__(self) -> None:
        if self._closed:
            raise StoppingError()
        if self._inside >= self._limit:
            self.refused += 1
            raise OverloadedError(self._what, self._limit)
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        if self._closed and not self._inside:
            self._empty.set()

    async def drain(self) -> None:
        """Let nothing in any more, and wait until all that is inside has left."""
        self._closed = True
        if self._inside:
            self._empty.clear()
        await self._empty.wait()
