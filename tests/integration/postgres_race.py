"""A process of the race on one PostgreSQL event log: some writers, or one subscriber. `python -m` with JSON out.

The log is ours, or a planted naive one: positions from a sequence, taken before the commit, as so many event stores do.
A slow commit then becomes visible behind a quicker one with a higher position, and whoever has read that never sees it.
"""

from __future__ import annotations

import asyncio
import json
import random
import select
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import psycopg

from tests.integration.postgres_logs import deposit, opened
from twofold.ports import Appended, Commit
from twofold.settings import Settings
from twofold.stores.postgres.event_appends import SQL
from twofold.stores.postgres.event_batch import Batch
from twofold.stores.postgres.event_log import PostgresEventLog
from twofold.stores.postgres.running import run
from twofold.streams import Position, StreamId

ROLLED_BACK = 0.2
LARGEST_BATCH = 64
GIVE_UP_S = 1.0
"""A subscriber ends when it has seen nothing new for so long, and the writers have ended."""

NAIVE_TABLES = """
CREATE SEQUENCE naive_position;
CREATE TABLE naive_event (position bigint PRIMARY KEY, stream text NOT NULL);
"""


class RacedLog(Protocol):
    async def append(self, commits: Sequence[Commit]) -> int:
        """Returns how many of the commits' events were appended."""
        ...

    async def roll_back(self, commits: Sequence[Commit]) -> None:
        """The same, in a transaction that is then rolled back."""
        ...

    async def next(self, after: int, *, woken: bool) -> Sequence[int]:
        """The next positions, perhaps none; waits for a moment when there are none."""
        ...


class OurLog:
    def __init__(self, log: PostgresEventLog, url: str) -> None:
        self._log, self._url = log, url

    async def append(self, commits: Sequence[Commit]) -> int:
        outcomes = await self._log.append(commits)
        pairs = zip(commits, outcomes, strict=True)
        return sum(len(commit.events) for commit, outcome in pairs if isinstance(outcome, Appended))

    async def roll_back(self, commits: Sequence[Commit]) -> None:
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            await run(connection, SQL["append"], [*Batch.of([commits]), False])
            await connection.rollback()

    async def next(self, after: int, *, woken: bool) -> Sequence[int]:
        if woken:
            await self._log.wait(Position(after), 0.5)
        events = await self._log.read(Position(after), 1_000)
        if not events and not woken:
            await asyncio.sleep(0.005)
        return [event.position for event in events]


class NaiveLog:
    def __init__(self, url: str) -> None:
        self._url = url
        self._reader: psycopg.AsyncConnection[Any] | None = None

    async def append(self, commits: Sequence[Commit]) -> int:
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            return await self._insert(connection, commits)

    async def roll_back(self, commits: Sequence[Commit]) -> None:
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            await self._insert(connection, commits)
            await connection.rollback()

    async def _insert(self, connection: psycopg.AsyncConnection[Any], commits: Sequence[Commit]) -> int:
        for commit in commits:
            for _ in commit.events:
                statement = "INSERT INTO naive_event VALUES (nextval('naive_position'), %s)"
                await connection.execute(statement, [str(commit.stream)])
        return sum(len(commit.events) for commit in commits)

    async def next(self, after: int, *, woken: bool) -> Sequence[int]:
        if self._reader is None:
            self._reader = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        statement = "SELECT position FROM naive_event WHERE position > %s ORDER BY position LIMIT 1000"
        rows = await (await self._reader.execute(statement, [after])).fetchall()
        if not rows:
            await asyncio.sleep(0.005)
        return [position for (position,) in rows]


@asynccontextmanager
async def raced(kind: str, url: str) -> AsyncGenerator[RacedLog]:
    if kind == "naive":
        yield NaiveLog(url)
        return
    async with opened(url, Settings(poll_s=0.5)) as log:
        yield OurLog(log, url)


async def write(kind: str, url: str, name: str, events: int, writers: int) -> dict[str, Any]:
    """Writers of one process. All of them also write to one stream that they fight for."""
    async with raced(kind, url) as log:
        share = events // writers
        appended = await asyncio.gather(*(_write(log, f"{name}-{number}", share) for number in range(writers)))
    return {"appended": sum(appended)}


async def _write(log: RacedLog, name: str, events: int) -> int:
    dice, versions, contested, appended = random.Random(name), dict[StreamId, int](), 0, 0
    while appended < events:
        commits: list[Commit] = []
        wishes = dict(versions)
        for _ in range(min(dice.randint(1, LARGEST_BATCH), events - appended)):
            stream = StreamId("account", f"{name}-{dice.randint(0, 20)}")
            commits.append(deposit(stream, wishes.get(stream, 0), command_id=f"{name}-{dice.getrandbits(64)}"))
            wishes[stream] = wishes.get(stream, 0) + 1
        if dice.random() < ROLLED_BACK:
            await log.roll_back(commits)
            continue
        contested += 1
        appended += await log.append([*commits, deposit(StreamId("account", "everyone"), contested % 7)])
        versions = wishes
    return appended


async def follow(kind: str, url: str, way: str) -> dict[str, Any]:
    """Reads from the start, woken or polling, until nothing new comes and the writers have ended. `wrong` is the first
    position that does not follow on the one before."""
    seen, last, wrong, quiet_since = 0, 0, None, time.monotonic()
    async with raced(kind, url) as log:
        while time.monotonic() - quiet_since < GIVE_UP_S or not _writers_are_done():
            positions = await log.next(last, woken=way == "woken")
            if not positions:
                continue
            quiet_since = time.monotonic()
            if wrong is None and positions != list(range(last + 1, last + 1 + len(positions))):
                wrong = next(found for due, found in enumerate(positions, start=last + 1) if due != found)
            seen, last = seen + len(positions), positions[-1]
    return {"seen": seen, "last": last, "wrong": wrong}


def _writers_are_done() -> bool:
    """Whether the standard input has ended: the test closes it when all writers have ended."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main(arguments: Sequence[str]) -> None:
    task, kind, url, name, *numbers = arguments
    work = write(kind, url, name, *map(int, numbers)) if task == "write" else follow(kind, url, name)
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main(sys.argv[1:])
