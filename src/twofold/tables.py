"""The shape of a read model's table, its keys and rows: plain values that declarations make and read stores take."""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

__all__ = ["Column", "ColumnKind", "Key", "Row", "Table"]


class ColumnKind(Enum):
    """What a column holds. A row's values are plain Python of these types, or None where the column is nullable.

    JSON columns hold JSON text (`str`); an enum's column holds its member's value.
    """

    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    TEXT = "text"
    BYTES = "bytes"
    DECIMAL = "decimal"
    DATETIME = "datetime"
    DATE = "date"
    UUID = "uuid"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: ColumnKind


Key = tuple[Any, ...]
"""The key columns' values, in the order of `Table.key`: a tuple, also when there is only one."""

Row = tuple[Any, ...]
"""A read model's row: values in the order of `Table.columns`."""


@dataclass(frozen=True, slots=True)
class Table:
    """The shape of a read model's table, made from its fields.

    `read_model` is the stored name under which the checkpoint is kept, `name` the table's. `indexes` are column
    groups, `search` the text columns under full-text search. `partitions` is how many workers can share its keys.
    `fingerprint` changes with the columns, `fold_fingerprint` with the code that folds them and with the partitions.
    """

    read_model: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    search: tuple[str, ...] = ()
    fingerprint: str = ""
    fold_fingerprint: str = ""
    partitions: int = 1

    def partition_of(self, key: Key) -> int:
        """The partition of a key, the same in every process and for equal keys however they are written."""
        if self.partitions == 1:
            return 0
        return zlib.crc32("\x1f".join([_canonical(value) for value in key]).encode()) % self.partitions

    def aside(self, what: str) -> Table:
        """The same shape for rows beside the live ones: "rebuild" or "former"."""
        return dataclasses.replace(self, read_model=f"{self.read_model}~{what}", name=f"{self.name}__{what}")


def _canonical(value: Any) -> str:
    """A key's value as text: numbers by value, instants in UTC, enum members as their values."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, str) else repr(value) if isinstance(value, bytes) else str(value)
