"""Time limits for many short waits, at a tenth of what `asyncio.timeout` costs each.

Nearly every wait is over at once, so none has a timer of its own: one timer looks at all of them, four times within the
limit. So a wait ends between one limit and one and a quarter.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

__all__ = ["Deadlines"]


class Deadlines:
    """`with deadlines:` raises TimeoutError when the block takes longer than `timeout_s`; one at a time per task."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._given_up: set[asyncio.Task[Any]] = set()
        self._look_again: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._ends[task] = loop.time() + self._timeout_s
        if self._look_again is None:
            self._look_again = loop.call_later(self._timeout_s / 4, self._look)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        del self._ends[task]
        if task in self._given_up:
            self._given_up.discard(task)
            if not task.uncancel() and kind is asyncio.CancelledError:
                raise TimeoutError from None

    def end_all(self) -> None:
        """Let the time of every block that is under way be over."""
        for task in self._ends:
            self._give_up(task)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, end in self._ends.items():
            if end <= now:
                self._give_up(task)
        self._look_again = loop.call_later(self._timeout_s / 4, self._look) if self._ends else None

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        if task not in self._given_up:
            self._given_up.add(task)
            task.cancel()
