"""Values of columns in PostgreSQL: how they are written, compared and ordered.

Columns have the types that SQL expects of such values: numeric, timestamptz, date, uuid. What these can't hold to the
last digit and offset (1E+5, 12:00 in Rome, a time without a zone) is written out as well, in a column `#written` of the
same row, a JSON object that is NULL in nearly every row. PostgreSQL's text holds no U+0000: U+0000 is stored as
U+0001 U+0001 and U+0001 as U+0001 U+0002, which keeps the order.

Rows are turned column by column into array literals, which cost the client a fraction of what a parameter for each
value costs, and the server less than JSON.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, cast

import msgspec

from twofold.errors import shortened
from twofold.stores.rows import Unstorable, instant_us, is_holdable, plain
from twofold.tables import Column, ColumnKind, Row

__all__ = [
    "SQL_TYPES",
    "WRITTEN",
    "array",
    "arrays",
    "encode_columns",
    "encode_key_column",
    "has_written",
    "held_text",
    "literal",
    "parameter",
    "quoted",
    "text_of",
]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC, as all that is added to it
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = 86_400_000_000
_MOST_DIGITS_BEFORE_POINT = 131_072
_MOST_DIGITS_AFTER_POINT = 16_383

WRITTEN = "#written"

SQL_TYPES: Mapping[ColumnKind, str] = {
    ColumnKind.INTEGER: "bigint",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.REAL: "double precision",
    ColumnKind.BYTES: "bytea",
    ColumnKind.TEXT: "text",
    ColumnKind.DECIMAL: "numeric",
    ColumnKind.DATETIME: "timestamptz",
    ColumnKind.DATE: "date",
    ColumnKind.UUID: "uuid",
    ColumnKind.JSON: "text",
}

Texts = Sequence[str | None]


def has_written(column: Column) -> bool:
    """Whether values of the column may have to be written out beside it."""
    return column.kind in (ColumnKind.DECIMAL, ColumnKind.DATETIME)


# --- names and literals ----------------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def arrays(types: Sequence[str], first: int) -> str:
    """Parameters from the number `first` on, each an array of its SQL type."""
    return ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(types, start=first))


# --- arrays ----------------------------------------------------------------------------------------------------------

_BETWEEN = "\0"
_NULL = "\1"
"""Neither is in any text as it is held: U+0001 is always followed by another there."""


def array(texts: Texts) -> str:
    """An array literal of texts that hold no U+0000, and no U+0001 alone."""
    if not texts:
        return "{}"
    joined = _BETWEEN.join([_NULL if text is None else text for text in texts])
    if "\\" in joined:
        joined = joined.replace("\\", "\\\\")
    if '"' in joined:
        joined = joined.replace('"', '\\"')
    elements = '"' + joined.replace(_BETWEEN, '","') + '"'
    return "{" + elements.replace(f'"{_NULL}"', "NULL") + "}"


def _bare_array(texts: Texts) -> str:
    """The same for texts of digits, letters and signs, which need no quotes."""
    return "{" + ",".join(["NULL" if text is None else text for text in texts]) + "}"


def _number_array(values: Sequence[Any]) -> str:
    """Of Python's numbers and truths; one `repr` in C for all of them."""
    return "{" + repr(list(values))[1:-1].replace("None", "NULL") + "}"


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

Written = list[dict[str, str] | None]


def encode_columns(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[str], Texts]:
    """The values of some rows (not none) as array literals, column by column, and what `#written` holds for each row.

    Unstorable names a value that can't be held.
    """
    if wrong := set(map(len, rows)) - {len(columns)}:
        raise Unstorable(f"a row needs {len(columns)} values, found {wrong.pop()}")
    written: Written = [None] * len(rows)
    arrays = [
        _encode_column(column, values, written) for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    return arrays, [None if each is None else msgspec.json.encode(each).decode() for each in written]


def encode_key_column(column: Column, values: Sequence[Any]) -> str:
    """The array literal of one column of keys, which are as `twofold.stores.rows.as_key` makes them."""
    return _encode_column(column, values, [None] * len(values))


def text_of(column: Column, value: Any) -> str:
    """One value (not None) as a parameter, to be cast to the column's type."""
    return _texts(column, [plain(column, value)], [None])[0] or ""


def _encode_column(column: Column, values: Sequence[Any], written: Written) -> str:
    if not (_CLASSES[column.kind].issuperset(map(type, values)) and is_holdable(column.kind, values)):
        values = [plain(column, value) for value in values]
    if column.kind in _NUMBERS:
        return _number_array(values)
    texts = _texts(column, values, written)
    return array(texts) if column.kind in _QUOTED else _bare_array(texts)


_NUMBERS = {ColumnKind.INTEGER, ColumnKind.REAL, ColumnKind.BOOLEAN}
_QUOTED = {ColumnKind.TEXT, ColumnKind.JSON, ColumnKind.BYTES, ColumnKind.DATETIME}


def _texts(column: Column, values: Sequence[Any], written: Written) -> Texts:
    match column.kind:
        case ColumnKind.TEXT | ColumnKind.JSON:
            return _held_texts(values)
        case ColumnKind.DECIMAL:
            return _decimals(column, values, written)
        case ColumnKind.DATETIME:
            return _datetimes(column, values, written)
        case ColumnKind.BYTES:
            return [None if value is None else "\\x" + value.hex() for value in values]
        case ColumnKind.DATE | ColumnKind.UUID:
            return msgspec.to_builtins(values)
        case ColumnKind.INTEGER | ColumnKind.REAL | ColumnKind.BOOLEAN:
            return [None if value is None else repr(value) for value in values]


# --- texts -----------------------------------------------------------------------------------------------------------


def held_text(text: str) -> str:
    """The text as PostgreSQL holds it."""
    return text.replace("\1", "\1\2").replace("\0", "\1\1")


def _held_texts(values: Texts) -> Texts:
    joined = "".join(filter(None, values))
    if "\0" not in joined and "\1" not in joined:
        return values
    return [None if value is None else held_text(value) for value in values]


# --- decimals --------------------------------------------------------------------------------------------------------

_MAYBE_INEXACT = re.compile(r"[ENI]|-0(?![.\d]*[1-9])")
"""An exponent, NaN, Infinity, or the sign of a zero."""
_LONG = 1_000


def _decimals(column: Column, values: Sequence[Any], written: Written) -> Texts:
    texts: Texts = msgspec.to_builtins(values)
    some = list(filter(None, texts))
    if max(map(len, some), default=0) < _LONG and not _MAYBE_INEXACT.search("\n".join(some)):
        return texts
    for at, value in enumerate(values):
        if value is not None and not _is_exact(column, plain(column, value)):
            _write(written, at, column, str(value))
    return texts


def _is_exact(column: Column, value: Decimal) -> bool:
    """Whether `numeric` keeps it as it is written: without an exponent, and without a sign if it is zero."""
    sign, _, exponent = value.as_tuple()
    behind = -cast("int", exponent)
    if value.adjusted() >= _MOST_DIGITS_BEFORE_POINT or behind > _MOST_DIGITS_AFTER_POINT:
        raise Unstorable(
            f"{column.name} can't hold {shortened(str(value))}: numbers have at most {_MOST_DIGITS_BEFORE_POINT:,} "
            f"digits before the point and {_MOST_DIGITS_AFTER_POINT:,} behind it"
        )
    return behind >= 0 and not (sign and not value)


def _write(written: Written, at: int, column: Column, text: str) -> None:
    beside = written[at]
    if beside is None:
        beside = written[at] = {}
    beside[column.name] = text


# --- times -----------------------------------------------------------------------------------------------------------


def _datetimes(column: Column, values: Sequence[Any], written: Written) -> Texts:
    if {value.tzinfo for value in values if value is not None} <= {UTC}:
        return msgspec.to_builtins(values)
    held: Sequence[datetime | None] = [plain(column, value) for value in values]
    for at, value in enumerate(held):
        if value is not None and value.tzinfo is not UTC:
            _write(written, at, column, value.isoformat("T", "microseconds"))
    return [None if value is None else _instant_text(value) for value in held]


def _instant_text(value: datetime) -> str:
    """The time in UTC. It may lie a day outside the years 1 to 9999."""
    us = instant_us(value)
    try:
        return (_EPOCH + us * _MICROSECOND).isoformat() + "Z"
    except OverflowError:
        of_day = (_EPOCH + us % _DAY_US * _MICROSECOND).time().isoformat()
        return f"0001-12-31T{of_day}Z BC" if us < 0 else f"10000-01-01T{of_day}Z"


# --- somebody's own SQL ----------------------------------------------------------------------------------------------


def parameter(value: Any) -> Any:
    """A bound parameter of somebody's own SQL, written as columns hold such values."""
    match value:
        case Enum():
            return parameter(value.value)
        case str():
            return held_text(value)
        case datetime() if value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        case _:
            return value
