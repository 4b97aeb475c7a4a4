"""Connections to PostgreSQL: a bounded pool, a limit of time for every call, and what PostgreSQL's errors mean.

Whoever borrows a connection loses it when the time is up: its socket is shut down, so that a server that no longer
answers (or a network that swallows everything) ends the call and not the service. A connection that broke is never
lent again; one that broke while it lay in the pool is noticed before it is lent.

Behind PgBouncer in transaction mode there are no prepared statements, no LISTEN and no settings of a session: such a
pooler is noticed by itself, as it refuses or drops the settings that a connection starts with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from twofold.errors import CorruptStoreError, StoreError, StoreNotWritableError, StoreUnavailableError, TwofoldError
from twofold.settings import Settings
from twofold.stores.postgres.statements import load_sql
from twofold.stores.postgres.target import DIRECT, Target

__all__ = ["Connection", "Connections", "cutting", "is_lost", "meaning", "translated"]

SQL = load_sql("connections.sql")

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5

Connection = AsyncConnection[tuple[Any, ...]]
T = TypeVar("T")

CANCEL_S = 0.5

logger = structlog.get_logger("twofold.postgres")


class _Wire(AsyncConnection[tuple[Any, ...]]):
    """A connection whose calls end soon when they are cancelled, also when the server is out of reach: it is asked to
    give the statement up, and if it does not answer at once the connection is cut."""

    async def cancel_safe(self, *, timeout: float = CANCEL_S) -> None:  # noqa: ASYNC109 - the name is psycopg's
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_S))
        except psycopg.Error:
            _cut(self)


# --- errors ----------------------------------------------------------------------------------------------------------

_UNAVAILABLE_CLASSES = {
    "08": "the connection was lost",
    "40": "the transaction met another one",
    "53": "the server lacks a resource (disk, memory, connections)",
    "55": "the server did not get a lock in time",
    "57": "the server ended the statement",
    "58": "the server reports a system error",
}
_UNAVAILABLE = {
    "25006": "the server takes no writes: it is a standby, or set to read only",
    "25P03": "the server ended the transaction because it was idle",
    "25P04": "the server ended the transaction because it took too long",
    "57P03": "the server is starting or stopping",
}


def meaning(error: psycopg.Error, store: str) -> TwofoldError | None:
    """What PostgreSQL's error says about the store; None for one that says something about our statement (a bug)."""
    code = error.sqlstate
    text = " ".join(str(error).split())
    if code is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return StoreUnavailableError(store, f"no connection ({text})") if lost else None
    detail = f"PostgreSQL: {error.diag.message_primary or text} ({code})"
    if code in ("XX001", "XX002"):
        return CorruptStoreError(store, f"the database is damaged ({detail})", "restore it from a backup")
    if code == "42501":
        remedy = 'give this user the rights of its role: "twofold schema roles" has the statements'
        return StoreNotWritableError(store, f"this user may not do that ({detail})", remedy)
    if code == "3D000" or code.startswith("28"):
        return StoreError(store, f"the server lets nobody in so ({detail})", "correct the URL or the server")
    reason = _UNAVAILABLE.get(code) or _UNAVAILABLE_CLASSES.get(code[:2])
    return StoreUnavailableError(store, f"{reason} ({detail})") if reason else None


@contextmanager
def translated(store: str) -> Generator[None]:
    """Raise Twofold's error for PostgreSQL's; one that means nothing but a bug passes as it is."""
    try:
        yield
    except psycopg.Error as error:
        meant = meaning(error, store)
        if meant is None:
            raise
        raise meant from error


def is_lost(connection: Connection) -> bool:
    """Whether the connection is no more: what was last asked of it may or may not have been done."""
    return connection.closed or connection.pgconn.transaction_status == TransactionStatus.UNKNOWN


# --- the pool --------------------------------------------------------------------------------------------------------


class Connections:
    """A few connections to one database, made when they are needed, and lent for one call at a time.

    `store` names the database in errors: "event log postgresql://db:5432/shop". To be used on one event loop.
    """

    def __init__(self, store: str, target: Target, *, size: int, session: Mapping[str, str]) -> None:
        self.store, self._target, self._size = store, target, size
        self._session = session
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(size)
        self._closed = False
        self._told_of_pooler = False
        self.pooled: bool | None = None
        """Whether a pooler stands before PostgreSQL; None until the first connection."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        label: str,
        settings: Settings,
        role: str,
        component: str,
        size: int = 4,
        statement_timeout_s: float | None = None,
        session: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Connections]:
        """Connects nowhere yet. Connections are named `twofold {role} {component}`.

        The server gives up a statement after `statement_timeout_s` seconds, by default three quarters of
        `settings.store_timeout_s`, so that its answer comes before the connection is cut.
        `session` are further settings for PostgreSQL, which a pooler drops.
        """
        target = Target.parse(url, settings, application_name=f"twofold {role} {component}")
        limit_s = statement_timeout_s or settings.store_timeout_s * 0.75
        connections = cls(
            f"{label} {target.place}", target, size=size, session={**_limits(target, limit_s), **(session or {})}
        )
        logger.debug("postgres-pool", store=connections.store, component=component, size=size)
        try:
            yield connections
        finally:
            await connections.close()

    @property
    def timeout_s(self) -> float:
        """What a call may take unless it says otherwise."""
        return self._target.timeout_s

    def tell(self, connection: Connection) -> None:
        """Log what it is connected to, as whom, and how that is protected: once for each store at a start."""
        info = connection.info
        version = info.parameter_status("server_version")
        logger.info("postgres-opened", store=self.store, version=version, user=info.user, tls=self._target.tls)

    @asynccontextmanager
    async def lend(self, timeout_s: float | None = None) -> AsyncGenerator[Connection]:
        """A connection, alone, in autocommit mode: `async with connections.lend() as connection: ...`

        After `timeout_s` seconds (by default the settings' limit), counted from this call, the connection is cut and
        StoreUnavailableError raised. A transaction that is left open is rolled back. PostgreSQL's errors come as
        Twofold's.
        """
        loop = asyncio.get_running_loop()
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        deadline = loop.time() + limit_s
        with translated(self.store):
            connection = await self._take(deadline)
            try:
                with cutting(connection, deadline - loop.time()):
                    yield connection
            except psycopg.Error as error:
                if is_lost(connection) and loop.time() >= deadline:
                    raise StoreUnavailableError(self.store, f"no answer within {limit_s:g} seconds") from error
                raise
            finally:
                await self._give_back(connection)

    async def read(self, work: Callable[[Connection], Awaitable[T]], timeout_s: float | None = None) -> T:
        """Do work that may be done twice: when its connection is lost it is done again on another, while time is left.

        Everything ends within `timeout_s` seconds, by default the settings' limit.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.timeout_s if timeout_s is None else timeout_s)
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with self.lend(max(0.0, deadline - loop.time())) as connection:
                    return await work(connection)
            except StoreUnavailableError:
                if self._closed or loop.time() + pause_s >= deadline:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def connect(self) -> Connection:
        """A connection of the caller's own, not of the pool, in autocommit mode: to be closed, and its errors
        `translated`, by the caller."""
        if self.pooled:
            return await self._connect_to_pooler()
        try:
            connection = await self._connect_directly()
        except psycopg.OperationalError as error:
            if "unsupported startup parameter" not in str(error):
                raise
            return await self._connect_to_pooler()
        if self.pooled is None and not await self._is_direct(connection):
            await connection.close()
            return await self._connect_to_pooler()
        return connection

    async def _is_direct(self, connection: Connection) -> bool:
        """Whether no pooler has dropped our settings; closes the connection when this can't be found out."""
        async with AsyncExitStack() as undo:
            undo.push_async_callback(connection.close)
            row = await (await connection.execute(SQL["direct"], (DIRECT,))).fetchone()
            undo.pop_all()
        self.pooled = row != ("on",)
        return not self.pooled

    async def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _take(self, deadline: float) -> Connection:
        if self._closed:
            raise StoreUnavailableError(self.store, "it is closed")
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError:
            raise StoreUnavailableError(self.store, f"all of its {self._size} connections are busy") from None
        with ExitStack() as undo:
            undo.callback(self._free.release)
            connection = await self._idle_one() or await self._connect_until(deadline)
            undo.pop_all()
            return connection

    async def _connect_until(self, deadline: float) -> Connection:
        try:
            async with asyncio.timeout_at(deadline):
                return await self.connect()
        except TimeoutError:
            raise StoreUnavailableError(self.store, "the server does not take a connection in time") from None

    async def _idle_one(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if _is_usable(connection):
                return connection
            await connection.close()
        return None

    async def _give_back(self, connection: Connection) -> None:
        self._free.release()
        if self._closed or is_lost(connection) or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append(connection)

    async def _connect_directly(self) -> Connection:
        parameters = self._target.session(self._session)
        return await _Wire.connect(**parameters, autocommit=True, prepare_threshold=0)  # pyright: ignore[reportArgumentType]

    async def _connect_to_pooler(self) -> Connection:
        if not self._told_of_pooler:
            logger.info("postgres-pooler", store=self.store, prepared_statements=False, listen=False)
        self.pooled = self._told_of_pooler = True
        parameters = self._target.parameters
        return await _Wire.connect(**parameters, autocommit=True, prepare_threshold=None)  # pyright: ignore[reportArgumentType]


def _limits(target: Target, statement_timeout_s: float) -> Mapping[str, str]:
    return {
        "statement_timeout": str(round(statement_timeout_s * 1000)),
        "lock_timeout": str(round(target.timeout_s * 500)),
        "idle_in_transaction_session_timeout": str(round(target.timeout_s * 1000)),
        "jit": "off",
    }


def _is_usable(connection: Connection) -> bool:
    """Whether nothing has happened while it lay idle: a server that closes it makes its socket readable."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)


@contextmanager
def cutting(connection: Connection, timeout_s: float) -> Generator[None]:
    """Cut the connection when this takes longer than `timeout_s` seconds: what waits for an answer gets an error."""
    timer = asyncio.get_running_loop().call_later(timeout_s, _cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Connection) -> None:
    """End whatever waits on the connection, with an error. (Closing it under a waiting event loop could hit whoever
    gets the number of its socket next.)"""
    if not connection.closed:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as wire:
            wire.shutdown(socket.SHUT_RDWR)
