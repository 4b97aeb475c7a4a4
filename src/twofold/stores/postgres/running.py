"""Running statements with numbered parameters, one by one or several in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncRawCursor

from twofold.stores.postgres.connections import Connection
from twofold.stores.postgres.statements import trusted

__all__ = ["Cursor", "Statement", "run", "run_together"]

Cursor = AsyncRawCursor[tuple[Any, ...]]


class Statement(NamedTuple):
    """A statement and what is bound to its numbered parameters."""

    text: str
    parameters: Sequence[Any] | None = None


async def run(connection: Connection, statement: str, parameters: Sequence[Any] | None = None) -> Cursor:
    """Run a statement; its results come in PostgreSQL's binary format."""
    cursor = AsyncRawCursor(connection)
    await cursor.execute(trusted(statement), parameters, binary=True)
    return cursor


async def run_together(connection: Connection, *statements: Statement) -> list[Cursor]:
    """Run statements in one round trip and, unless they begin one themselves, in one transaction: none has any effect
    when one fails. The first error is raised."""
    cursors: list[Cursor] = []
    first: psycopg.Error | None = None
    try:
        async with connection.pipeline():
            try:
                for statement in statements:
                    cursors.append(await run(connection, *statement))  # noqa: PERF401 - those before a failure count
            except psycopg.Error as error:
                first = error  # leaving the pipeline with it would log that the rest was aborted
    except psycopg.Error as error:
        raise first or error from None
    if first is not None:
        raise first
    return cursors
