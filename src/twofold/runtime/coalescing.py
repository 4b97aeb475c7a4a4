"""Many small reads that arrive together become one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
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
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[: self._at_most]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            self._worker = None

    async def _answer(self, askers: Mapping[K, Sequence[asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._fetch(list(askers))
        except Exception as error:
            for _, future in _still_waiting(askers):
                future.set_exception(error)
        else:
            for key, future in _still_waiting(askers):
                future.set_result(found.get(key))


def _still_waiting(
    askers: Mapping[K, Sequence[asyncio.Future[V | None]]],
) -> Iterator[tuple[K, asyncio.Future[V | None]]]:
    """Those of the askers that have not left."""
    for key, futures in askers.items():
        for future in futures:
            if not future.done():
                yield key, future
