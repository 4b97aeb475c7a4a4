"""Rows of a table out of what PostgreSQL returns, exactly as they were saved.

Values that the driver would have to make one by one come as text, and are made column by column in C.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from twofold.stores.postgres.columns import SQL_TYPES, has_written, literal, quoted
from twofold.stores.postgres.statements import load_sql
from twofold.tables import Column, ColumnKind, Row, Table

__all__ = ["RowDecoder"]

SQL = load_sql("read_store.sql")


class RowDecoder:
    """Knows how rows of a table are selected, and what comes back in PostgreSQL's binary format."""

    def __init__(self, table: Table) -> None:
        self.columns = ", ".join(map(_selected, table.columns))
        """What to select from the table by the name of `found`."""
        self._decoders = [
            (at, _DECODERS[column.kind]) for at, column in enumerate(table.columns) if column.kind in _DECODERS
        ]

    def rows(self, found: list[Row]) -> list[Row]:
        """The rows as they were saved; msgspec.ValidationError when they are of another shape."""
        if not (found and self._decoders):
            return found
        columns = list(zip(*found, strict=True))
        for at, decode in self._decoders:
            columns[at] = decode(columns[at])
        return list(zip(*columns, strict=True))


def _selected(column: Column) -> str:
    """Always of one type, whatever becomes of the column, so that a prepared statement never changes its result's."""
    name = f"found.{quoted(column.name)}"
    match column.kind:
        case ColumnKind.DECIMAL:
            text = SQL["decimal_text"].format(x=name)
        case ColumnKind.DATETIME:
            text = SQL["datetime_text"].format(x=name)
        case ColumnKind.UUID:
            return f"{name}::uuid::text"
        case _:
            return f"{name}::{SQL_TYPES[column.kind]}"
    assert has_written(column)
    return SQL["exact"].format(literal=literal(column.name), text=text)


Values = tuple[Any, ...]


def _texts(values: Values) -> Values:
    if "\1" not in "".join(filter(None, values)):
        return values
    return tuple([value and value.replace("\1\1", "\0").replace("\1\2", "\1") for value in values])


def _times(values: Values) -> Values:
    try:
        return msgspec.convert(values, tuple[datetime | None, ...])
    except msgspec.ValidationError:
        # msgspec takes no offset with seconds, as Berlin had until 1893
        return tuple([value and datetime.fromisoformat(value) for value in values])


def _converted(kind: Any) -> Callable[[Values], Values]:
    return lambda values: msgspec.convert(values, kind)


_DECODERS: Mapping[ColumnKind, Callable[[Values], Values]] = {
    ColumnKind.TEXT: _texts,
    ColumnKind.JSON: _texts,
    ColumnKind.DECIMAL: _converted(tuple[Decimal | None, ...]),
    ColumnKind.DATETIME: _times,
    ColumnKind.UUID: _converted(tuple[uuid.UUID | None, ...]),
}
