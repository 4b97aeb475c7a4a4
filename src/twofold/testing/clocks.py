"""A clock that the test owns: time stands still until it is moved."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

__all__ = ["FIRST_NOON", "TestClock"]

FIRST_NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
"""What time it is in a test that does not say."""


class TestClock:
    """A Clock that shows `start` (with its zone) until `advance` moves it."""

    __test__ = False  # a test imports this class; it is none

    def __init__(self, start: datetime = FIRST_NOON) -> None:
        if start.tzinfo is None:
            raise ValueError(f"start={start!r} has no zone; a clock shows UTC: datetime(..., tzinfo=UTC)")
        self._now = start.astimezone(UTC)
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []
        self._went_to_sleep = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Sleep until the clock has been moved so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = (self._now + timedelta(seconds=seconds), woken)
        self._sleepers.append(sleeper)
        self._went_to_sleep.set()
        try:
            await woken
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Move the clock on and wake those whose time has come, the earliest first. They run when the test awaits."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: a clock does not go back")
        self._now += timedelta(seconds=seconds)
        due = sorted((each for each in self._sleepers if each[0] <= self._now), key=lambda each: each[0])
        for sleeper in due:
            self._sleepers.remove(sleeper)
            if not sleeper[1].done():
                sleeper[1].set_result(None)

    async def until_sleeping(self, sleepers: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until so many tasks sleep on this clock; TimeoutError after `timeout_s` real seconds."""
        async with asyncio.timeout(timeout_s):
            while len(self._sleepers) < sleepers:
                self._went_to_sleep.clear()
                await self._went_to_sleep.wait()
