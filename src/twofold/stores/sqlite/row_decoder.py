"""Rows of a table out of what SQLite returns, exactly as they were saved.

Where the columns allow it, all rows of a statement come as one JSON text, in one step of the statement. `sqlite3` gives
the GIL away in every step and waits for it again: row by row, a thread that computes meanwhile can cost each row up to
`sys.getswitchinterval()` (5 ms).
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from twofold.stores.sqlite.columns import quoted
from twofold.stores.statements import load_statements
from twofold.tables import Column, ColumnKind, Row

__all__ = ["RowDecoder"]

SQL = load_statements(Path(__file__).with_name("read_store.sql"))

T = TypeVar("T")
_BIT = int | None
_TIME = datetime | None

_TYPES: Mapping[ColumnKind, Any] = {
    ColumnKind.INTEGER: int | None,
    ColumnKind.REAL: float | None,
    ColumnKind.BOOLEAN: _BIT,
    ColumnKind.TEXT: str | None,
    ColumnKind.BYTES: bytes | None,
    ColumnKind.DECIMAL: Decimal | None,
    ColumnKind.DATETIME: _TIME,
    ColumnKind.DATE: date | None,
    ColumnKind.UUID: uuid.UUID | None,
    ColumnKind.JSON: str | None,
}

_NOT_IN_JSON = {ColumnKind.REAL, ColumnKind.BYTES}
"""What SQLite's JSON can't hold exactly: its numbers have 15 digits, its texts no bytes."""

_MOST_ARGUMENTS = 100
"""Of one call of json_array (SQLITE_MAX_FUNCTION_ARG); wider rows are arrays of arrays."""


class RowDecoder:
    """Knows how rows of some columns are asked for, and what comes back."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._groups = _grouped([quoted(column.name) for column in columns])
        self._nested = len(self._groups) > 1
        self._in_json = _NOT_IN_JSON.isdisjoint(column.kind for column in columns)
        self._bits = [at for at, column in enumerate(columns) if column.kind is ColumnKind.BOOLEAN]
        self._times = [at for at, column in enumerate(columns) if column.kind is ColumnKind.DATETIME]
        types = [_TYPES[column.kind] for column in columns]
        self._quick = _Shape(types, self._nested)
        self._exact = _Shape([str | None if each is _TIME else each for each in types], self._nested)

    def result(self, prefix: str = "") -> str:
        """What a statement without an order of its own selects; `prefix` is the alias that the names need."""
        return f"json_group_array({self._row(prefix)})" if self._in_json else self.names(prefix)

    def names(self, prefix: str = "") -> str:
        return ", ".join(f"{prefix}{name}" for group in self._groups for name in group)

    def statement(self, select: str) -> str:
        """The statement for an ordered selection of `names`."""
        return SQL["rows_as_json"].format(row=self._row(), select=select) if self._in_json else select

    def rows(self, cursor: sqlite3.Cursor) -> list[Row]:
        """All rows of a `statement` or of one that selects the `result`."""
        found: Any = cursor.fetchone()[0] if self._in_json else cursor.fetchall()
        try:
            return _each(self._decoded(self._quick, found), self._bits, _to_bool)
        except msgspec.ValidationError:
            if not self._times:
                raise
        # msgspec takes no offset with seconds, as Berlin had until 1893
        rows = _each(self._decoded(self._exact, found), self._bits, _to_bool)
        return _each(rows, self._times, datetime.fromisoformat)

    def _decoded(self, shape: _Shape, found: Any) -> list[Row]:
        if not self._in_json:
            return msgspec.convert(found, shape.rows)
        rows = shape.from_json(found)
        return [tuple(chain.from_iterable(parts)) for parts in rows] if self._nested else rows

    def _row(self, prefix: str = "") -> str:
        arrays = [f"json_array({', '.join(f'{prefix}{name}' for name in group)})" for group in self._groups]
        return f"json_array({', '.join(arrays)})" if self._nested else arrays[0]


def _each(rows: list[Row], places: Sequence[int], convert: Callable[[Any], Any]) -> list[Row]:
    """The rows with some of their columns converted, None left alone."""
    if not (rows and places):
        return rows
    columns = list(zip(*rows, strict=True))
    for at in places:
        columns[at] = tuple([None if value is None else convert(value) for value in columns[at]])
    return list(zip(*columns, strict=True))


_to_bool = (False, True).__getitem__


class _Shape:
    """The types of a row's values: in a tuple, and in the arrays that come as JSON."""

    def __init__(self, types: Sequence[Any], nested: bool) -> None:
        groups = [tuple[tuple(group)] for group in _grouped(types)]  # type: ignore[misc]
        in_json: Any = tuple[tuple(groups)] if nested else groups[0]  # type: ignore[misc]
        self.rows: Any = list[tuple[tuple(types)]]  # type: ignore[misc]
        self.from_json: Callable[[str], list[Any]] = msgspec.json.Decoder(list[in_json]).decode


def _grouped(columns: Sequence[T]) -> list[Sequence[T]]:
    return [columns[at : at + _MOST_ARGUMENTS] for at in range(0, len(columns), _MOST_ARGUMENTS)]
