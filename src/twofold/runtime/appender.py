"""Group commit: commands that arrive together are appended together, each with its own outcome.

Two appends may be under way at once: while the store makes one durable, the next is decided and stands ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter

from twofold.errors import StoreUnavailableError, TwofoldError
from twofold.ports import Commit, EventLog, Outcome, Probe

__all__ = ["Appender"]

CONCURRENT_APPENDS = 2


class Appender:
    """Calls `collect` for commits whenever an append may start, and `settle` with what became of them.

    `collect()` returns the commits to write now and what belongs to them; with no commits, nothing is written.
    """

    def __init__(self, log: EventLog, probe: Probe) -> None:
        self._log, self._probe = log, probe
        self._under_way: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def schedule(self, start: Callable[[], None]) -> None:
        """Call `start` in the next turn of the event loop, once, however often this is called before."""
        if not self._scheduled and len(self._under_way) < CONCURRENT_APPENDS:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start, start)

    def _start(self, start: Callable[[], None]) -> None:
        self._scheduled = False
        start()

    def append(self, commits: Sequence[Commit], settle: Callable[[Sequence[Outcome] | TwofoldError], None]) -> None:
        """Write the commits in a task of its own, which the cancellation of a command does not reach."""
        task = asyncio.get_running_loop().create_task(self._append(commits, settle))
        self._under_way.add(task)

    async def _append(
        self, commits: Sequence[Commit], settle: Callable[[Sequence[Outcome] | TwofoldError], None]
    ) -> None:
        started = perf_counter()
        outcomes: Sequence[Outcome] | TwofoldError
        try:
            outcomes = await self._log.append(commits)
        except TwofoldError as error:
            outcomes = error
        except Exception as error:
            outcomes = StoreUnavailableError("event log", repr(error))
        self._under_way.discard(asyncio.current_task())  # pyright: ignore[reportArgumentType] - this is a task
        self._probe.append_done(commits, outcomes, perf_counter() - started)
        settle(outcomes)

    @property
    def under_way(self) -> int:
        """How many appends have not been settled yet."""
        return len(self._under_way)

    async def drain(self) -> None:
        """Wait until every append that was started is settled."""
        while self._under_way:
            await asyncio.wait(self._under_way)
