"""Values of columns in SQLite: how they are written, compared and ordered.

Decimals and times are text, which keeps every digit and offset. A time always has six digits of a second, and Z for
UTC, so that plain SQL can take its instant apart, and times in UTC order as text.

Rows are turned column by column: a pass over 5,000 values of one kind in C costs a fraction of 5,000 calls. Columns
whose values all have the expected class take that way; others are looked at one by one, which converts what may be
converted and names what can't be held.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any

import msgspec

from twofold.stores.rows import Unstorable, instant_us, is_holdable, plain
from twofold.stores.statements import load_statements
from twofold.tables import Column, ColumnKind, Row

__all__ = [
    "DECIMAL_COLLATION",
    "SQL_TYPES",
    "compare_decimals",
    "encode_columns",
    "encode_value",
    "equals_term",
    "equals_value",
    "order_terms",
    "parameter",
    "quoted",
]

SQL = load_statements(Path(__file__).with_name("read_store.sql"))

DECIMAL_COLLATION = "twofold_decimal"

SQL_TYPES: Mapping[ColumnKind, str] = {
    ColumnKind.INTEGER: "INTEGER",
    ColumnKind.BOOLEAN: "INTEGER",
    ColumnKind.REAL: "REAL",
    ColumnKind.BYTES: "BLOB",
    ColumnKind.TEXT: "TEXT",
    ColumnKind.DECIMAL: "TEXT",
    ColumnKind.DATETIME: "TEXT",
    ColumnKind.DATE: "TEXT",
    ColumnKind.UUID: "TEXT",
    ColumnKind.JSON: "TEXT",
}

# --- writing ---------------------------------------------------------------------------------------------------------

_CLASSES: Mapping[ColumnKind, frozenset[type]] = {
    ColumnKind.INTEGER: frozenset({int, NoneType}),
    ColumnKind.REAL: frozenset({float, NoneType}),
    ColumnKind.BOOLEAN: frozenset({bool, NoneType}),
    ColumnKind.TEXT: frozenset({str, NoneType}),
    ColumnKind.BYTES: frozenset({bytes, NoneType}),
    ColumnKind.DECIMAL: frozenset({Decimal, NoneType}),
    ColumnKind.DATETIME: frozenset({datetime, NoneType}),
    ColumnKind.DATE: frozenset({date, NoneType}),
    ColumnKind.UUID: frozenset({uuid.UUID, NoneType}),
    ColumnKind.JSON: frozenset({str, NoneType}),
}


def encode_columns(columns: Sequence[Column], rows: Sequence[Row]) -> list[Sequence[Any]]:
    """The values of some rows (not none) as SQLite takes them, column by column; Unstorable names one that can't be."""
    if wrong := set(map(len, rows)) - {len(columns)}:
        raise Unstorable(f"a row needs {len(columns)} values, found {wrong.pop()}")
    return [_encode_column(column, values) for column, values in zip(columns, zip(*rows, strict=True), strict=True)]


def encode_value(column: Column, value: Any) -> Any:
    """One value as SQLite takes it."""
    held = plain(column, value)
    return None if held is None else _ENCODERS.get(column.kind, _as_is)((held,))[0]


def _encode_column(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    encode = _ENCODERS.get(column.kind, _as_is)
    if _CLASSES[column.kind].issuperset(map(type, values)):
        encoded = encode(values)
        if _can_be_held(column.kind, encoded):
            return encoded
    return encode([plain(column, value) for value in values])


def _can_be_held(kind: ColumnKind, encoded: Sequence[Any]) -> bool:
    if kind is ColumnKind.DECIMAL:
        together = "".join(filter(None, encoded))
        return "N" not in together and "I" not in together  # NaN, sNaN, Infinity
    return is_holdable(kind, encoded)


def _as_is(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _datetimes(values: Sequence[Any]) -> Sequence[Any]:
    if not all(map(_has_whole_minutes, {value.tzinfo for value in values if value is not None})):
        return [None if value is None else _time_text(value) for value in values]
    return [
        text if text is None or text[19:20] == "." else f"{text[:19]}.000000{text[19:]}"
        for text in msgspec.to_builtins(values)
    ]


def _time_text(time: datetime) -> str:
    text = time.isoformat("T", "microseconds")
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _has_whole_minutes(zone: tzinfo | None) -> bool:
    """Whether msgspec (40 times as fast as `isoformat`) writes the offset exactly; it rounds to minutes."""
    if zone is None or zone is UTC:
        return True
    return isinstance(zone, timezone) and not zone.utcoffset(None) % timedelta(minutes=1)


_BITS = {True: 1, False: 0, None: None}

_ENCODERS: Mapping[ColumnKind, Callable[[Sequence[Any]], Sequence[Any]]] = {
    ColumnKind.BOOLEAN: lambda values: [_BITS[value] for value in values],
    ColumnKind.DECIMAL: msgspec.to_builtins,
    ColumnKind.DATETIME: _datetimes,
    ColumnKind.DATE: msgspec.to_builtins,
    ColumnKind.UUID: msgspec.to_builtins,
}


def parameter(value: Any) -> Any:
    """A bound parameter of somebody's own SQL, written as columns hold such values."""
    match value:
        case bool():
            return int(value)
        case Decimal() | uuid.UUID():
            return str(value)
        case datetime():
            return _time_text(value)
        case date():
            return value.isoformat()
        case _:
            return value


# --- order and equality ----------------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def order_terms(kind: ColumnKind, name: str) -> tuple[str, ...]:
    """What to sort by, from the column's quoted name. The first term decides nearly always and can be indexed.

    Two decimals may be the same as a REAL and differ behind its 15 digits: only then the collation is called.
    """
    if kind is ColumnKind.DECIMAL:
        return f"CAST({name} AS REAL)", f"{name} COLLATE {DECIMAL_COLLATION}"
    if kind is ColumnKind.DATETIME:
        return (SQL["instant"].format(x=name),)
    return (name,)


def equals_term(kind: ColumnKind, name: str, bound: str) -> str:
    """The condition that the column equals a bound parameter, which `equals_value` makes."""
    first, *exact = order_terms(kind, name)
    if kind is ColumnKind.DECIMAL:
        return f"{first} = CAST({bound} AS REAL) AND {exact[0]} = {bound}"
    return f"{first} = {bound}"


def equals_value(column: Column, value: Any) -> Any:
    if column.kind is ColumnKind.DATETIME:
        return instant_us(value)
    return encode_value(column, value)


def compare_decimals(left: str, right: str) -> int:
    """The collation of decimals: by value, whatever their digits."""
    if left == right:
        return 0
    one, other = Decimal(left), Decimal(right)
    return (one > other) - (one < other)
