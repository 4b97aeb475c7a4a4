"""The shape of a read model's table, its keys and rows: plain values that declarations make and read stores take."""

from __future__ import annotations

from dataclasses import dataclass
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
    groups, `search` the text columns under full-text search. `fingerprint` changes with the columns, `fold_fingerprint`
    with the code that folds them.
    """

    read_model: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    search: tuple[str, ...] = ()
    fingerprint: str = ""
    fold_fingerprint: str = ""
