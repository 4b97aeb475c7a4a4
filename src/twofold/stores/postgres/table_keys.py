"""Keys of a table on their way into statements: one array for each key column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.stores.postgres.columns import SQL_TYPES, arrays, encode_key_column, quoted, text_of
from twofold.stores.rows import as_key, as_row, column_of
from twofold.tables import ColumnKind, Key, Row, Table

__all__ = ["TableKeys"]

_WRITTEN_IN_MANY_WAYS = {ColumnKind.DECIMAL, ColumnKind.DATETIME}
"""Kinds whose equal values may differ in text: in keys they are brought to one form."""


class TableKeys:
    """Knows the key columns of a table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = tuple(column_of(table, name) for name in table.key)
        self._many_ways = not _WRITTEN_IN_MANY_WAYS.isdisjoint(column.kind for column in self._columns)
        self.names = [quoted(name) for name in table.key]
        self.wanted_names = ", ".join(f"k{at}" for at in range(len(self._columns)))
        """Of the columns of `wanted`, which the arrays make."""
        self.is_wanted = " AND ".join(f"found.{name} = wanted.k{at}" for at, name in enumerate(self.names))

    def arrays(self, first: int = 1) -> str:
        """What `as_arrays` is bound to, from the parameter `first` on."""
        return arrays([SQL_TYPES[column.kind] for column in self._columns], first)

    def as_arrays(self, keys: Sequence[Key]) -> list[str]:
        """Array literals of keys (not none); Unstorable (a ValueError) for one that is no key of the table."""
        if self._many_ways or set(map(len, keys)) != {len(self._columns)}:
            keys = [as_key(self._table, key) for key in keys]
        return [
            encode_key_column(column, values)
            for column, values in zip(self._columns, zip(*keys, strict=True), strict=True)
        ]

    def texts(self, key: Key) -> list[Any]:
        """The key's values one by one, for `equals`."""
        by_value = as_key(self._table, key)
        return [text_of(column, value) for column, value in zip(self._columns, by_value, strict=True)]

    def equals(self, first: int) -> str:
        """Whether a row's key is the one bound to the parameters from `first` on."""
        return " AND ".join(
            f"found.{name} = ${at}::{SQL_TYPES[column.kind]}"
            for at, (name, column) in enumerate(zip(self.names, self._columns, strict=True), start=first)
        )

    def by_value(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows with their keys in the one form that equal keys have."""
        return [as_row(self._table, row) for row in rows] if self._many_ways else rows
