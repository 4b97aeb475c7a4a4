"""What a `Find` means in every store: checked against the table, its order made total by the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twofold.errors import InvalidInputError, shortened
from twofold.ports import Find
from twofold.stores.rows import as_key, column_of, plain
from twofold.tables import Column, Key, Table

__all__ = ["CheckedFind", "Order", "check_equals", "check_find", "check_limit", "lost_place"]


@dataclass(frozen=True, slots=True)
class Order:
    """One column of an order. Descending turns everything round, so that None comes last."""

    column: Column
    descending: bool = False


@dataclass(frozen=True, slots=True)
class CheckedFind:
    """A find that can be done. The order ends with the key's columns, so no two rows share a place in it."""

    equals: tuple[tuple[Column, Any], ...]
    order: tuple[Order, ...]
    limit: int | None
    start_after: Key | None

    def place_in_key(self, table: Table) -> bool:
        """Whether the key alone says where a row stands, so that a page can start behind a row that is gone."""
        return all(each.column.name in table.key for each in self.order)


def check_find(table: Table, find: Find) -> CheckedFind:
    """ValueError for a column that the table does not have or a value that it can't hold; InvalidInputError for a
    negative limit."""
    return CheckedFind(
        equals=check_equals(table, find.equals),
        order=_total_order(table, find.order_by),
        limit=None if find.limit is None else check_limit(find.limit),
        start_after=None if find.start_after is None else as_key(table, find.start_after),
    )


def check_equals(table: Table, equals: Mapping[str, Any]) -> tuple[tuple[Column, Any], ...]:
    columns = ((column_of(table, name), value) for name, value in equals.items())
    return tuple((column, plain(column, value)) for column, value in columns)


def check_limit(limit: int) -> int:
    if limit < 0:
        raise InvalidInputError(f"the limit {limit} is negative; nothing was read (give 0 or more)")
    return limit


def lost_place(table: Table, key: Key) -> InvalidInputError:
    """A page can't start behind a row that is gone, unless the order is the key's: nobody knows where it stood."""
    shown = shortened(", ".join(map(str, key)))
    return InvalidInputError(
        f"{table.read_model}: the row {shown} that the page was to start after does not exist any more; "
        "nothing was read (start again from the first page)"
    )


def _total_order(table: Table, order_by: tuple[str, ...]) -> tuple[Order, ...]:
    wanted = [Order(column_of(table, name.removeprefix("-")), name.startswith("-")) for name in order_by]
    wanted += [Order(column_of(table, name)) for name in table.key]
    first: dict[str, Order] = {}
    for each in wanted:
        first.setdefault(each.column.name, each)
    return tuple(first.values())
