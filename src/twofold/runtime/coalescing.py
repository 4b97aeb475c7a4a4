"""Many small reads that arrive together become one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

__all__ = ["Coalescer"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Coalescer(Generic[K, V]):
    """Collects the keys that are asked for in one turn of the event loop, and while a call is under way.

    `fetch` gets distinct keys, at most `at_most` of them, and returns those that it found.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, at_most: int = 256) -> None:
        self._fetch, self._at_most = fetch, at_most
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(future)

    async def _work(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[: self._at_most]
                futures = [(key, self._waiting.pop(key)) for key in keys]
                await self._answer(futures)
        finally:
            self._worker = None

    async def _answer(self, futures: Sequence[tuple[K, asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._fetch([key for key, _ in futures])
        except Exception as error:
            for _, future in futures:
                future.set_exception(error)
                future.exception()  # the asker may be gone; then nobody else would retrieve it
        else:
            for key, future in futures:
                future.set_result(found.get(key))
