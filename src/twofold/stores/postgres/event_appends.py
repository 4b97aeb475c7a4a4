"""The appending side of the event log: calls that wait together are written together, two statements at a time.

While one transaction becomes durable, the next statement waits on the server for its turn. A statement is not
interrupted when its caller is cancelled. When the answer to one is lost, the same batch is sent again as such: the
server then knows what of it is in the log (migrations/event_log/002_append.sql), and a straggler of the first try finds
its places taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg

from twofold.errors import StoreUnavailableError, TwofoldError, UnknownOutcomeError
from twofold.ports import Commit, Outcome
from twofold.stores.arrivals import Arrivals
from twofold.stores.postgres.connections import FIRST_PAUSE_S, LONGEST_PAUSE_S, Connection, Connections, is_lost
from twofold.stores.postgres.event_batch import Batch, outcomes_of
from twofold.stores.postgres.listening import Announcements
from twofold.stores.postgres.running import run
from twofold.stores.postgres.statements import load_sql

__all__ = ["CONCURRENT_APPENDS", "SERVER_SHARE", "SESSION", "Appends"]

SQL = load_sql("event_log.sql")

CONCURRENT_APPENDS = 2
ENOUGH_COMMITS = 64
"""Waiting calls go into one statement until it has so many commits."""

FIRST_TRY_SHARE = 0.6
"""Of the time that an append may take; the rest is for finding out what became of it."""

SERVER_SHARE = 0.5
"""Of the same time, after which the server gives up the statement."""

SESSION = {"default_transaction_isolation": "read committed"}
"""What the function needs, whatever the database's own default is."""


class _Call(NamedTuple):
    """One call of append, who waits for it, and until when (in the event loop's time)."""

    commits: Sequence[Commit]
    outcomes: asyncio.Future[Sequence[Outcome]]
    deadline: float


class _Answer(NamedTuple):
    before: int
    refused: Mapping[str, Any] | None


class Appends:
    """A queue of calls, and up to two tasks that write them."""

    def __init__(self, connections: Connections, arrivals: Arrivals, announcements: Announcements) -> None:
        self._connections, self._arrivals, self._announcements = connections, arrivals, announcements
        self._calls: deque[_Call] = deque()
        self._writers: set[asyncio.Task[None]] = set()
        self._closed = False

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Cancelling this gives up the answer, not the write."""
        if not commits:
            return ()
        if self._closed:
            raise StoreUnavailableError(self._connections.store, "it is closed")
        loop = asyncio.get_running_loop()
        call = _Call(commits, loop.create_future(), loop.time() + self._connections.timeout_s)
        self._calls.append(call)
        if len(self._writers) < CONCURRENT_APPENDS:
            self._writers.add(asyncio.create_task(self._write_all()))
        return await call.outcomes

    async def save_snapshots(self, parameters: Mapping[str, str]) -> None:
        async with self._connections.lend() as connection:
            await connection.execute(SQL["save_snapshots"], parameters)

    async def close(self) -> None:
        """Wait until all that was appended is answered and told."""
        self._closed = True
        while self._writers:
            await asyncio.wait(self._writers)
        await self._announcements.close()

    # --- a task that writes ---

    async def _write_all(self) -> None:
        try:
            while self._calls:
                await self._write_next()
        finally:  # in the same breath as the last look at the calls: one that comes now needs a new writer
            self._writers.discard(asyncio.current_task())  # pyright: ignore[reportArgumentType] - this is a task

    async def _write_next(self) -> None:
        calls = self._next_calls()
        try:
            answer = await self._write(Batch.of([call.commits for call in calls]), calls[0].deadline)
        except Exception as error:
            for call in calls:
                if not call.outcomes.done():
                    call.outcomes.set_exception(error)
        else:
            self._settle(calls, answer)

    def _next_calls(self) -> Sequence[_Call]:
        calls: list[_Call] = []
        commits = 0
        while self._calls and commits < ENOUGH_COMMITS:
            calls.append(self._calls.popleft())
            commits += len(calls[-1].commits)
        return calls

    def _settle(self, calls: Sequence[_Call], answer: _Answer) -> None:
        outcomes, head = outcomes_of([call.commits for call in calls], *answer)
        if head > answer.before:
            self._announcements.announce(head)
            if head > self._arrivals.head:
                self._arrivals.reach(head)
        for call, answers in zip(calls, outcomes, strict=True):
            if not call.outcomes.done():
                call.outcomes.set_result(answers)

    async def _write(self, batch: Batch, deadline: float) -> _Answer:
        """The deadline is that of the call that has waited longest: waiting for its turn took of its time."""
        left_s = deadline - asyncio.get_running_loop().time()
        lost: psycopg.Error | None = None
        try:
            async with self._connections.lend(max(0.0, left_s * FIRST_TRY_SHARE)) as connection:
                try:
                    return await _ask(connection, batch, again=False)
                except psycopg.Error as error:
                    if is_lost(connection):
                        lost = error
                    raise
        except TwofoldError as error:
            if lost is None:  # it was never sent, or the server says that it failed
                raise
            return await self._write_again(batch, deadline, getattr(error, "reason", str(error)))

    async def _write_again(self, batch: Batch, deadline: float, reason: str) -> _Answer:
        """Find out what became of a batch whose answer was lost, and write it when it was not written."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while (left_s := deadline - loop.time()) > 0:
            with suppress(TwofoldError):
                async with self._connections.lend(left_s) as connection:
                    return await _ask(connection, batch, again=True)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        raise UnknownOutcomeError(self._connections.store, reason)


async def _ask(connection: Connection, batch: Batch, *, again: bool) -> _Answer:
    row = await (await run(connection, SQL["append"], [*batch, again])).fetchone()
    assert row is not None  # a function has a result
    return _Answer(*row)
