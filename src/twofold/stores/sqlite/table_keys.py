"""Keys of a table on their way into statements: many of them as one JSON text, or value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from twofold.stores.rows import as_key, as_row, column_of
from twofold.stores.sqlite.columns import encode_value, quoted
from twofold.tables import ColumnKind, Key, Row, Table

__all__ = ["TableKeys"]

_WRITTEN_IN_MANY_WAYS = {ColumnKind.DECIMAL, ColumnKind.DATETIME}
"""Kinds whose equal values may differ in text: in keys they are brought to one form."""

_NOT_IN_JSON = {ColumnKind.REAL, ColumnKind.BYTES}


class TableKeys:
    """Knows the key columns of a table. `in_json` says whether `as_json` can be used with its conditions."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = tuple(column_of(table, name) for name in table.key)
        kinds = {column.kind for column in self._columns}
        self._many_ways = not kinds.isdisjoint(_WRITTEN_IN_MANY_WAYS)
        self.in_json = kinds.isdisjoint(_NOT_IN_JSON)
        self.names = [quoted(name) for name in table.key]

    def as_json(self, keys: Sequence[Key]) -> str:
        """A JSON array of keys, for `is_wanted` and `among_wanted`."""
        plain: Sequence[Any] = [self.values(key) for key in keys] if self._many_ways else keys
        return msgspec.json.encode([key[0] for key in plain] if len(self._columns) == 1 else plain).decode()

    def values(self, key: Key) -> tuple[Any, ...]:
        """The key's values as SQLite takes them; Unstorable (a ValueError) for one that is no key of the table."""
        by_value = as_key(self._table, key)
        return tuple(encode_value(column, value) for column, value in zip(self._columns, by_value, strict=True))

    def by_value(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows with their keys in the one form that equal keys have."""
        return [as_row(self._table, row) for row in rows] if self._many_ways else rows

    def is_wanted(self, prefix: str = "") -> str:
        """Whether the row's key is the key `wanted.value` out of the JSON array."""
        return " AND ".join(f"{prefix}{name} = {part}" for name, part in zip(self.names, self._parts(), strict=True))

    def among_wanted(self, names: Sequence[str]) -> str:
        """Whether the columns, which hold a key, hold one of the JSON array `:keys`."""
        parts = ", ".join(self._parts())
        return f"({', '.join(names)}) IN (SELECT {parts} FROM json_each(:keys) AS wanted)"

    def equals(self, names: Sequence[str]) -> str:
        """Whether the columns hold the key whose values are bound as `?`."""
        return " AND ".join(f"{name} = ?" for name in names)

    def _parts(self) -> list[str]:
        if len(self._columns) == 1:
            return ["wanted.value"]
        return [f"json_extract(wanted.value, '$[{at}]')" for at in range(len(self._columns))]
