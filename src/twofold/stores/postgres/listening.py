"""Wake-ups between processes: the head, told by NOTIFY after an append's commit, heard by LISTEN, and a slow poll.

A notification inside the append's transaction would make all commits of the server wait for one lock. Told afterwards
it may be lost (with its writer, or while a connection is down), so the listener looks for itself every `poll_s`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg
import structlog

from twofold.errors import TwofoldError
from twofold.stores.arrivals import Arrivals
from twofold.stores.postgres.connections import Connection, Connections, cutting, translated
from twofold.stores.postgres.running import run
from twofold.stores.postgres.statements import load_sql
from twofold.streams import START, Position

__all__ = ["Announcements", "Listening"]

SQL = load_sql("event_log.sql")

RECONNECT_PAUSE_S = 0.2
PAUSE_S, LOAD_PAUSE_S = 0.002, 0.01
"""One notification tells of all that was appended in so long: each costs both sides 0.1 ms of CPU."""
LOAD = 5_000
"""Events per second from which on the longer pause is made."""

logger = structlog.get_logger("twofold.postgres")


class Announcements:
    """Tells other processes where the head is. What can't be told is not told again: they poll."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._head = self._told = START
        self._task: asyncio.Task[None] | None = None

    def announce(self, head: Position) -> None:
        """Returns at once."""
        self._head = max(self._head, head)
        if self._task is None and self._head > self._told:
            self._task = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Wait until what was announced is told."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _tell(self) -> None:
        try:
            while self._head > self._told:
                self._told = self._head
                with suppress(TwofoldError):
                    async with self._connections.lend() as connection:
                        await run(connection, SQL["announce"], [str(self._told)])
                await asyncio.sleep(PAUSE_S)
                if self._head - self._told > LOAD * PAUSE_S:
                    await asyncio.sleep(LOAD_PAUSE_S - PAUSE_S)
        finally:
            self._task = None


class Listening:
    """Keeps `arrivals` at the head, on a connection of its own, from the first `start` until it is closed."""

    def __init__(self, connections: Connections, arrivals: Arrivals, poll_s: float) -> None:
        self._connections, self._arrivals, self._poll_s = connections, arrivals, poll_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (TwofoldError, psycopg.Error, OSError) as error:
                logger.warning("postgres-listener-lost", store=self._connections.store, reason=str(error))
            await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _listen(self) -> None:
        with translated(self._connections.store):
            async with asyncio.timeout(self._connections.timeout_s):
                connection = await self._connections.connect()
            try:
                if not self._connections.pooled:
                    with cutting(connection, self._connections.timeout_s):
                        await connection.execute(SQL["listen"])
                while True:
                    await self._look(connection)
                    await self._hear(connection)
            finally:
                await connection.close()

    async def _look(self, connection: Connection) -> None:
        """Set the head to what the log says, unless it has moved meanwhile: then what was read may be old."""
        known = self._arrivals.head
        with cutting(connection, self._connections.timeout_s):
            row = await (await connection.execute(SQL["head"])).fetchone()
        head = Position(row[0] if row else 0)
        if head > self._arrivals.head or known == self._arrivals.head != head:
            self._arrivals.reach(head)

    async def _hear(self, connection: Connection) -> None:
        if self._connections.pooled:
            await asyncio.sleep(self._poll_s)
            return
        async for notification in connection.notifies(timeout=self._poll_s):
            if notification.payload.isdecimal() and int(notification.payload) > self._arrivals.head:
                self._arrivals.reach(Position(int(notification.payload)))
