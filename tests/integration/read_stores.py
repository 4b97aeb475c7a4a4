"""Read stores on PostgreSQL for tests: opened on a migrated database, and a table to fold into."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

from twofold.settings import Settings
from twofold.stores.postgres.read_store import SCHEMA, PostgresReadStore
from twofold.stores.postgres.row_reader import PostgresRowReader
from twofold.tables import Column, ColumnKind, Row, Table

SETTINGS = Settings(poll_s=0.2)
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)

ORDERS = Table(
    "Orders",
    "orders",
    (
        Column("id", ColumnKind.TEXT),
        Column("customer", ColumnKind.TEXT),
        Column("placed_at", ColumnKind.DATETIME),
        Column("total", ColumnKind.DECIMAL),
        Column("note", ColumnKind.TEXT),
    ),
    ("id",),
    indexes=(("customer", "placed_at"), ("note",)),
    search=("note",),
    fingerprint="columns-1",
)
COUNTS = Table(
    "Counts",
    "counts",
    (Column("name", ColumnKind.TEXT), Column("position", ColumnKind.INTEGER)),
    ("name",),
    partitions=8,
)


def order(number: int, note: str | None = None) -> Row:
    return (f"o{number}", f"customer {number % 3}", NOON, Decimal(number) / 2, note)


@asynccontextmanager
async def read_store(url: str, settings: Settings = SETTINGS) -> AsyncIterator[PostgresReadStore]:
    """Whoever comes first makes the schema."""
    await SCHEMA.migrate(url, settings)
    async with PostgresReadStore.at(url, settings=settings, role="all") as store:
        yield store


@asynccontextmanager
async def row_reader(url: str, settings: Settings = SETTINGS) -> AsyncIterator[PostgresRowReader]:
    async with PostgresRowReader.open(url, settings=settings, role="all") as reader:
        yield reader
