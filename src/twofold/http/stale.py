"""Answers that were given a while ago, to be given again when there can be no new ones.

Only queries that say so (`stale_ok_s`) are remembered. What is kept are the bytes that were sent, the last used ones,
as many as fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from twofold.errors import (
    NotYetConsistentError,
    OverloadedError,
    QueryTimeoutError,
    StoreUnavailableError,
    UnavailableError,
)

__all__ = ["STANDS_IN_FOR", "Remembered", "StaleAnswers"]

STANDS_IN_FOR: tuple[type[UnavailableError], ...] = (
    OverloadedError,
    StoreUnavailableError,
    QueryTimeoutError,
    NotYetConsistentError,
)
"""Errors in whose place an earlier answer may be given. A position that is not reached is among them, since it is not
known either where the rows stand when their store is away."""

_OVERHEAD_BYTES = 400
"""Of Python's objects around an answer."""


class Remembered(NamedTuple):
    """An answer as it was sent, the position that it reflects, and when (`monotonic`)."""

    body: bytes
    position: int
    at: float


class StaleAnswers:
    """The last answer to each query, at most `max_bytes` in all."""

    def __init__(self, max_bytes: int, now: Callable[[], float] = monotonic) -> None:
        self._max_bytes, self._now = max_bytes, now
        self._answers: OrderedDict[tuple[str, bytes], Remembered] = OrderedDict()
        self.bytes = 0

    def remember(self, name: str, query: bytes, body: bytes, position: int) -> None:
        """Keep the answer to the query, which is given as its encoded fields."""
        key = name, query
        self._forget(key)
        size = _size(query, body)
        if size > self._max_bytes:
            return
        self._answers[key] = Remembered(body, position, self._now())
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._forget(next(iter(self._answers)))

    def find(self, name: str, query: bytes, *, after: int | None, stale_ok_s: float) -> tuple[Remembered, int] | None:
        """The last answer and its age in whole seconds, unless it is too old or does not reflect the position."""
        key = name, query
        found = self._answers.get(key)
        if found is None:
            return None
        age_s = self._now() - found.at
        if age_s > stale_ok_s:
            self._forget(key)
            return None
        if after is not None and after > found.position:
            return None
        self._answers.move_to_end(key)
        return found, int(age_s)

    def _forget(self, key: tuple[str, bytes]) -> None:
        found = self._answers.pop(key, None)
        if found is not None:
            self.bytes -= _size(key[1], found.body)


def _size(query: bytes, body: bytes) -> int:
    return len(query) + len(body) + _OVERHEAD_BYTES
