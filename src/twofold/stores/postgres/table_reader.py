"""Reads rows of one read model's table; its statements are made once from the table's shape."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import psycopg

from twofold.errors import UnknownReadModelError
from twofold.ports import Find
from twofold.stores.finds import CheckedFind, Order, check_equals, check_find, check_limit, lost_place
from twofold.stores.postgres.columns import SQL_TYPES, quoted, text_of
from twofold.stores.postgres.connections import Connection
from twofold.stores.postgres.row_decoder import RowDecoder
from twofold.stores.postgres.running import Statement, run, run_together
from twofold.stores.postgres.search_words import as_query, holds, is_exact
from twofold.stores.postgres.statements import load_sql
from twofold.stores.postgres.table_keys import TableKeys
from twofold.stores.postgres.table_writer import in_schema, order_term
from twofold.stores.rows import by_key
from twofold.stores.sharing import other_columns
from twofold.stores.words import words
from twofold.tables import Column, Key, Row, Table

__all__ = ["TableReader", "is_about_shape"]

SQL = load_sql("read_store.sql")

T = TypeVar("T")

_MOST_ROWS = 2**63 - 1


class TableReader:
    """Every method runs statements on the connection that it is given."""

    def __init__(self, store: str, table: Table) -> None:
        self.table = table
        self._store = store
        self._name = in_schema(table.name)
        self._keys = TableKeys(table)
        self._decoder = RowDecoder(table)
        self._load = self._load_statement()

    async def load(self, connection: Connection, keys: Sequence[Key]) -> dict[Key, Row]:
        """Those of the rows that exist."""
        if not keys:
            return {}
        rows = await self._explained(connection, self._rows(connection, self._load, self._keys.as_arrays(keys)))
        return by_key(self.table, rows)

    async def find(self, connection: Connection, find: Find) -> list[Row]:
        wanted = check_find(self.table, find)
        if wanted.start_after is None:
            return await self._explained(connection, self._find(connection, wanted, None))
        if wanted.place_in_key(self.table):
            place = self._keys.texts(wanted.start_after)
            by_name = dict(zip(self.table.key, place, strict=True))
            place = [by_name[each.column.name] for each in wanted.order]
            return await self._explained(connection, self._find(connection, wanted, place))
        return await self._explained(connection, self._find_behind_row(connection, wanted, wanted.start_after))

    async def count(self, connection: Connection, equals: Mapping[str, Any]) -> int:
        query = _Query()
        query.equal(check_equals(self.table, equals))
        statement = SQL["count"].format(table=self._name, conditions=query.conditions)
        cursor = await self._explained(connection, run(connection, statement, query.bound))
        return (await cursor.fetchone() or (0,))[0]

    async def search(self, connection: Connection, text: str, limit: int) -> list[Row]:
        check_limit(limit)
        if not self.table.search:
            raise ValueError(f"{self.table.read_model} has no columns under search; declare it with search=[...]")
        wanted = list(dict.fromkeys(words(text)))
        if not wanted:
            return []
        bound = [as_query(wanted), min(limit, _MOST_ROWS) if is_exact(wanted) else _MOST_ROWS]
        order = ", ".join(_order_terms(self.table, check_find(self.table, Find({})).order))
        statement = SQL["search"].format(columns=self._decoder.columns, table=self._name, order=order)
        rows = await self._explained(connection, self._rows(connection, statement, bound))
        if not is_exact(wanted):
            at = [[column.name for column in self.table.columns].index(name) for name in self.table.search]
            rows = [row for row in rows if holds([row[each] for each in at], wanted)]
        return rows[:limit]

    def _load_statement(self) -> str:
        parts = {"columns": self._decoder.columns, "table": self._name}
        if len(self._keys.names) == 1:
            return SQL["load_single"].format(**parts, name=self._keys.names[0], array=self._keys.arrays())
        names, key = self._keys.wanted_names, self._keys.is_wanted
        return SQL["load"].format(**parts, arrays=self._keys.arrays(), names=names, key=key)

    async def _rows(self, connection: Connection, statement: str, bound: Sequence[Any]) -> list[Row]:
        cursor = await run(connection, statement, bound)
        return self._decoder.rows(await cursor.fetchall())

    async def _find(self, connection: Connection, wanted: CheckedFind, place: Sequence[str | None] | None) -> list[Row]:
        """From behind the place, which is the texts that the order's columns have there."""
        query = _Query()
        query.equal(wanted.equals)
        if place is not None:
            query.behind(wanted.order, place)
        limit = query.bind(_MOST_ROWS if wanted.limit is None else min(wanted.limit, _MOST_ROWS))
        statement = SQL["find"].format(
            columns=self._decoder.columns,
            table=self._name,
            conditions=query.conditions,
            order=", ".join(_order_terms(self.table, wanted.order)),
            limit=f"{limit}::bigint",
        )
        return await self._rows(connection, statement, query.bound)

    async def _find_behind_row(self, connection: Connection, wanted: CheckedFind, key: Key) -> list[Row]:
        terms = ", ".join(f"found.{quoted(each.column.name)}::text" for each in wanted.order)
        statement = SQL["place_of_row"].format(terms=terms, table=self._name, key=self._keys.equals(1))
        begin, place_of_row = Statement(SQL["begin_reading"]), Statement(statement, self._keys.texts(key))
        _, cursor = await run_together(connection, begin, place_of_row)
        place = await cursor.fetchone()
        rows = None if place is None else await self._find(connection, wanted, place)
        await connection.rollback()
        if rows is None:
            raise lost_place(self.table, key)
        return rows

    async def _explained(self, connection: Connection, work: Awaitable[T]) -> T:
        """Say what is wrong when the table is missing or was made by code of another shape."""
        try:
            return await work
        except (psycopg.Error, msgspec.ValidationError) as error:
            if not is_about_shape(error):
                raise
            await connection.rollback()
            holder = await (await run(connection, SQL["holder"], [self.table.name])).fetchone()
            if holder is None:
                reason = f"the read model {self.table.read_model} has no table"
                remedy = "run its projector once, which makes the table"
                raise UnknownReadModelError(self._store, reason, remedy) from error
            if holder[1] != self.table.fingerprint:
                raise other_columns(self._store, self.table) from error
            raise


_NO_RIGHTS = "42501"


def is_about_shape(error: Exception) -> bool:
    """Whether it may come of a table that is missing, or has other columns or types."""
    if not isinstance(error, psycopg.Error):
        return True
    return (error.sqlstate or "")[:2] in ("22", "42") and error.sqlstate != _NO_RIGHTS


def _order_terms(table: Table, order: Sequence[Order]) -> list[str]:
    return [order_term(table, each.column, "found.", descending=each.descending) for each in order]


# --- conditions ------------------------------------------------------------------------------------------------------


class _Query:
    """Conditions of a statement, and what is bound to its parameters."""

    def __init__(self) -> None:
        self.bound: list[Any] = []
        self._conditions: list[str] = []

    @property
    def conditions(self) -> str:
        return " AND ".join(self._conditions) or "TRUE"

    def bind(self, value: Any) -> str:
        self.bound.append(value)
        return f"${len(self.bound)}"

    def equal(self, equals: Sequence[tuple[Column, Any]]) -> None:
        for column, value in equals:
            name = f"found.{quoted(column.name)}"
            if value is None:
                self._conditions.append(f"{name} IS NULL")
            else:
                self._conditions.append(f"{name} = {self._bind_as(column, text_of(column, value))}")

    def behind(self, order: Sequence[Order], place: Sequence[str | None]) -> None:
        """A row comes after the place: behind(1) OR same(1) AND (behind(2) OR same(2) AND (...)).

        What the first column alone says is said once more in front, where an index can be used for it.
        """
        terms = [
            (
                f"found.{quoted(each.column.name)}",
                each.descending,
                None if at is None else self._bind_as(each.column, at),
            )
            for each, at in zip(order, place, strict=True)
        ]
        condition = "FALSE"
        for name, descending, bound in reversed(terms):
            same = f"{name} IS NULL" if bound is None else f"{name} = {bound}"
            condition = f"({_is_behind(name, descending, bound)} OR {same} AND {condition})"
        name, descending, bound = terms[0]
        if bound is not None and not descending:
            self._conditions.append(f"{name} >= {bound}")
        self._conditions.append(condition)

    def _bind_as(self, column: Column, text: str) -> str:
        return f"{self.bind(text)}::{SQL_TYPES[column.kind]}"


def _is_behind(name: str, descending: bool, bound: str | None) -> str:
    """None comes first, or last where the order descends."""
    if bound is None:
        return "FALSE" if descending else f"{name} IS NOT NULL"
    return f"({name} < {bound} OR {name} IS NULL)" if descending else f"{name} > {bound}"
