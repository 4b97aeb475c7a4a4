"""A look at the PostgreSQL server that a store is on: for operators, beside the services. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from psycopg.rows import class_row

from twofold.settings import Settings
from twofold.stores.postgres.connections import Connection, Connections
from twofold.stores.postgres.statements import load_sql
from twofold.stores.reports import ServerFacts, ServerReport

__all__ = ["gap_in", "look_at_server"]

SQL = load_sql("server.sql")
RIGHTS = load_sql("roles.sql")["rights"]

COUNTING_TIMEOUT_S = 600.0


async def look_at_server(url: str, settings: Settings, *, label: str) -> ServerReport:
    """Version, connections and settings of the server. StoreUnavailableError when it does not answer."""
    opening = Connections.open(url, label=label, settings=settings, role="doctor", component="look", size=1)
    async with opening as connections:
        facts, could = await connections.read(_facts)
        return ServerReport(
            label=label,
            place=connections.store.removeprefix(f"{label} "),
            facts=facts,
            pooled=bool(connections.pooled),
            ahead_s=facts.now_s - time.time(),
            could=could,
        )


async def _facts(connection: Connection) -> tuple[ServerFacts, Sequence[str]]:
    async with connection.cursor(row_factory=class_row(ServerFacts)) as cursor:
        found = await (await cursor.execute(SQL["server"])).fetchone()
    assert found is not None
    rights = await (await connection.execute(RIGHTS)).fetchone()
    return found, rights[1] if rights else ()


async def gap_in(url: str, settings: Settings) -> str:
    """What is wrong with the positions of the event log, all of which are counted; "" when they are dense."""
    opening = Connections.open(
        url,
        label="event log",
        settings=settings,
        role="doctor",
        component="count",
        size=1,
        statement_timeout_s=COUNTING_TIMEOUT_S,
    )
    async with opening as connections, connections.lend(COUNTING_TIMEOUT_S) as connection:
        row = await (await connection.execute(SQL["positions"])).fetchone()
    count, first, last = row or (0, 0, 0)
    if count == last and first in (0, 1):
        return ""
    return f"holds {count} events at positions {first} to {last}: they are not dense"
