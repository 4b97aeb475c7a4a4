"""What the values of a row are in every store: which a column can hold, which are equal, and how they order.

Values are equal and order by what they mean and not by how they are written: 1.5 and 1.50 are one number, noon in Rome
and eleven in London one instant. A datetime without a zone counts as UTC there. A row keeps values as they were
written, all but its key: a key is its value, so decimals in it lose trailing zeros and instants come back in UTC.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from operator import ne
from typing import Any, cast

from twofold.errors import StoreError, shortened
from twofold.tables import Column, ColumnKind, Key, Row, Table

__all__ = [
    "Unstorable",
    "as_key",
    "as_row",
    "by_key",
    "column_of",
    "instant_us",
    "is_holdable",
    "key_value",
    "order_value",
    "plain",
]

_INT64 = range(-(2**63), 2**63)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with times whose offset is taken apart
_MICROSECOND = timedelta(microseconds=1)


class Unstorable(ValueError):
    """A column can't hold the value. The text says which and why."""

    def in_fold(self, store: str, table: Table) -> StoreError:
        """The error of the fold that would have stored it."""
        return StoreError(store, f"{table.read_model}.{self}", "mend the handler that makes this value")


# --- values that a column can hold -----------------------------------------------------------------------------------


def plain(column: Column, value: Any) -> Any:
    """The value as every store returns it; Unstorable for one that the column can't hold.

    Integers are taken where numbers of another kind are wanted, enum members for their values, and a zone for the
    offset that it has at that time.
    """
    if value is None:
        return None
    if isinstance(value, Enum):
        value = value.value
    try:
        return _PLAIN[column.kind](value)
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error) or f"not {column.kind.value}"
        raise Unstorable(f"{column.name} can't hold {shortened(repr(value))}: {reason}") from None


def is_holdable(kind: ColumnKind, values: Sequence[Any]) -> bool:
    """Whether values of the kind's own classes (or None) are free of those that no column can hold: a quick look at
    many, where `plain` looks at each."""
    if kind is ColumnKind.INTEGER:
        some = [value for value in values if value is not None]
        return not some or (min(some) in _INT64 and max(some) in _INT64)
    if kind is ColumnKind.REAL:
        return not any(map(ne, values, values))  # NaN differs from itself
    if kind in (ColumnKind.TEXT, ColumnKind.JSON):
        return _is_unicode("".join(filter(None, values)))
    return True


def _is_unicode(text: str) -> bool:
    """Whether it is without lone surrogates, which UTF-8 has no bytes for."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_row(table: Table, values: Row) -> Row:
    """The row as it is stored, its key by value."""
    if len(values) != len(table.columns):
        raise Unstorable(f"a row needs {len(table.columns)} values, found {len(values)}")
    return tuple(
        key_value(column, value) if column.name in table.key else plain(column, value)
        for column, value in zip(table.columns, values, strict=True)
    )


def as_key(table: Table, values: Key) -> Key:
    """The key by value, as rows have it."""
    if len(values) != len(table.key):
        raise Unstorable(f"a key needs {len(table.key)} values ({', '.join(table.key)}), found {len(values)}")
    return tuple(key_value(column_of(table, name), value) for name, value in zip(table.key, values, strict=True))


def key_value(column: Column, value: Any) -> Any:
    """One value of a key: never None, decimals without trailing zeros, instants in UTC."""
    held = plain(column, value)
    match held:
        case None:
            raise Unstorable(f"{column.name} is part of the key and can't be None")
        case Decimal():
            return _without_trailing_zeros(held)
        case datetime() if held.tzinfo is not None:
            try:
                return held.astimezone(UTC)
            except OverflowError:
                raise Unstorable(f"{column.name} can't hold {held} in a key: it has no time in UTC") from None
        case _:
            return held


def column_of(table: Table, name: str) -> Column:
    """ValueError names the columns that there are."""
    for column in table.columns:
        if column.name == name:
            return column
    known = ", ".join(column.name for column in table.columns)
    raise ValueError(f"{table.read_model} has no column {shortened(name)}; it has {known}")


def by_key(table: Table, rows: Sequence[Row]) -> dict[Key, Row]:
    """The rows by their keys. Keys are mostly the first columns, which a slice takes at a third of the time."""
    places = [[column.name for column in table.columns].index(name) for name in table.key]
    first, end = places[0], places[0] + len(places)
    if places == list(range(first, end)):
        return {row[first:end]: row for row in rows}
    return {tuple([row[place] for place in places]): row for row in rows}


def _integer(value: Any) -> int:
    number = int(_of(int, value))
    if number not in _INT64:
        raise ValueError("the integer is out of range (64 bits, signed)")
    return number


def _real(value: Any) -> float:
    number = float(_of((int, float), value))
    if number != number:
        raise ValueError("NaN is equal to nothing and can't be ordered")
    return number


def _decimal(value: Any) -> Decimal:
    number = Decimal(_of((Decimal, int), value))
    if not number.is_finite():
        raise ValueError("the decimal is not finite")
    return number


def _text(value: Any) -> str:
    text = str.__str__(_of(str, value))
    text.encode()
    return text


def _datetime(value: Any) -> datetime:
    offset = _of(datetime, value).utcoffset()
    zone = None if offset is None else timezone(offset) if offset else UTC
    return cast("datetime", value.replace(tzinfo=zone, fold=0))


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        raise TypeError("it is a datetime, and would lose its time")
    return _of(date, value)


def _of(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"it is of type {type(value).__name__}")
    return value


_PLAIN: dict[ColumnKind, Callable[[Any], Any]] = {
    ColumnKind.INTEGER: _integer,
    ColumnKind.REAL: _real,
    ColumnKind.BOOLEAN: lambda value: _of(bool, value),
    ColumnKind.TEXT: _text,
    ColumnKind.BYTES: lambda value: bytes(_of((bytes, bytearray, memoryview), value)),
    ColumnKind.DECIMAL: _decimal,
    ColumnKind.DATETIME: _datetime,
    ColumnKind.DATE: _date,
    ColumnKind.UUID: lambda value: _of(uuid.UUID, value),
    ColumnKind.JSON: _text,
}


def _without_trailing_zeros(number: Decimal) -> Decimal:
    """Exact, unlike `Decimal.normalize`, which rounds to the context's precision."""
    sign, digits, exponent = number.as_tuple()
    kept = len(digits)
    while kept and not digits[kept - 1]:
        kept -= 1
    if not kept:
        return Decimal(0)
    return Decimal((sign, digits[:kept], cast("int", exponent) + len(digits) - kept))


# --- order and equality ----------------------------------------------------------------------------------------------


def instant_us(time: datetime) -> int:
    """Microseconds since 1970-01-01 UTC; exact, also where the time in UTC would lie outside the years 1 to 9999."""
    return (time.replace(tzinfo=None) - _EPOCH - (time.utcoffset() or timedelta(0))) // _MICROSECOND


def order_value(value: Any) -> Any:
    """What values of one column compare by, with `==` and `<`. None is less than everything."""
    if value is None:
        return (False,)
    return (True, instant_us(value) if isinstance(value, datetime) else value)
