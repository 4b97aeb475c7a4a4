"""Reads rows of one read model's table; its statements are made once from the table's shape."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from twofold.errors import StoreError, UnknownReadModelError
from twofold.ports import Find
from twofold.stores.finds import CheckedFind, Order, check_equals, check_find, check_limit, lost_place
from twofold.stores.rows import by_key
from twofold.stores.sqlite.columns import equals_term, equals_value, order_terms, quoted
from twofold.stores.sqlite.connections import roll_back
from twofold.stores.sqlite.row_decoder import RowDecoder
from twofold.stores.sqlite.table_keys import TableKeys
from twofold.stores.statements import load_statements
from twofold.stores.words import words
from twofold.tables import Column, Key, Row, Table

__all__ = ["TableReader", "search_name", "words_name"]

SQL = load_statements(Path(__file__).with_name("read_store.sql"))

_NO_LIMIT = -1
_Terms = list[tuple[str, bool]]


class TableReader:
    """Every method runs statements on the connection that it is given, in the caller's thread."""

    def __init__(self, store: str, table: Table) -> None:
        self.table = table
        self._store = store
        self._name = quoted(table.name)
        self._keys = TableKeys(table)
        self._decoder = RowDecoder(table.columns)
        self._load_by_keys = SQL["load_by_keys"].format(
            result=self._decoder.result("found."), table=self._name, key=self._keys.is_wanted("found.")
        )
        self._load_by_key = SQL["load_by_key"].format(
            result=self._decoder.result("found."),
            table=self._name,
            key=self._keys.equals([f"found.{name}" for name in self._keys.names]),
        )

    def load(self, connection: sqlite3.Connection, keys: Sequence[Key]) -> dict[Key, Row]:
        """Those of the rows that exist."""
        with self._explained(connection):
            if self._keys.in_json:
                cursor = connection.execute(self._load_by_keys, {"keys": self._keys.as_json(keys)})
                rows = self._decoder.rows(cursor)
            else:
                found = (connection.execute(self._load_by_key, self._keys.values(key)) for key in keys)
                rows = [row for cursor in found for row in self._decoder.rows(cursor)]
        return by_key(self.table, rows)

    def find(self, connection: sqlite3.Connection, find: Find) -> list[Row]:
        wanted = check_find(self.table, find)
        with self._explained(connection):
            if wanted.start_after is None:
                return self._find(connection, wanted, [], {})
            connection.execute(SQL["read_together"])
            try:
                conditions, bound = self._after(connection, wanted, wanted.start_after)
                return self._find(connection, wanted, conditions, bound)
            finally:
                roll_back(connection)

    def count(self, connection: sqlite3.Connection, equals: Mapping[str, Any]) -> int:
        conditions, bound = _equalities(check_equals(self.table, equals))
        statement = SQL["count"].format(table=self._name, conditions=" AND ".join(conditions) or "TRUE")
        with self._explained(connection):
            return connection.execute(statement, bound).fetchone()[0]

    def search(self, connection: sqlite3.Connection, text: str, limit: int) -> list[Row]:
        check_limit(limit)
        if not self.table.search:
            raise ValueError(f"{self.table.read_model} has no columns under search; declare it with search=[...]")
        wanted = " AND ".join(f'"{word}" *' for word in dict.fromkeys(words(text)))
        if not wanted:
            return []
        with self._explained(connection):
            connection.execute(SQL["read_together"])
            try:
                statement = self._search_statement(self._generation(connection))
                return self._decoder.rows(connection.execute(statement, {"text": wanted, "limit": _bounded(limit)}))
            finally:
                roll_back(connection)

    def _find(
        self, connection: sqlite3.Connection, wanted: CheckedFind, conditions: list[str], bound: dict[str, Any]
    ) -> list[Row]:
        equalities, values = _equalities(wanted.equals)
        order = ", ".join(f"{term} DESC" if descending else term for term, descending in _terms(wanted.order))
        select = SQL["find"].format(
            columns=self._decoder.names(),
            table=self._name,
            conditions=" AND ".join([*equalities, *conditions]) or "TRUE",
            order=order,
        )
        values |= bound
        values["limit"] = _bounded(wanted.limit)
        return self._decoder.rows(connection.execute(self._decoder.statement(select), values))

    def _after(self, connection: sqlite3.Connection, wanted: CheckedFind, key: Key) -> tuple[list[str], dict[str, Any]]:
        """The conditions of standing behind a row in the order, with what they bind."""
        terms = _terms(wanted.order)
        listed = ", ".join(term for term, _ in terms)
        if wanted.place_in_key(self.table):
            named = ", ".join(f"? AS {name}" for name in self._keys.names)
            statement = SQL["place_of_key"].format(terms=listed, key=named)
        else:
            matches = self._keys.equals(self._keys.names)
            statement = SQL["place_of_row"].format(terms=listed, table=self._name, key=matches)
        place = connection.execute(statement, self._keys.values(key)).fetchone()
        if place is None:
            raise lost_place(self.table, key)
        bound = {f"after{at}": value for at, value in enumerate(place)}
        return _behind([(*term, f":after{at}", place[at] is None) for at, term in enumerate(terms)]), bound

    def _search_statement(self, generation: int) -> str:
        select = SQL["search"].format(
            columns=self._decoder.names("found."),
            search=search_name(generation),
            words=words_name(generation),
            table=self._name,
            key=" AND ".join(f"words.{quoted(f'key/{name}')} = found.{quoted(name)}" for name in self.table.key),
            order=", ".join(term for term, _ in _terms(_key_order(self.table), "found.")),
        )
        return self._decoder.statement(select)

    def _generation(self, connection: sqlite3.Connection) -> int:
        row = connection.execute(SQL["holder"], {"table_name": self.table.name}).fetchone()
        if row is None:
            raise self._unknown()
        return row[1]

    @contextmanager
    def _explained(self, connection: sqlite3.Connection) -> Generator[None]:
        """Say what is wrong when the table is missing or was made by code of another shape."""
        try:
            yield
        except (sqlite3.OperationalError, msgspec.ValidationError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
                raise
            holder = connection.execute(SQL["holder"], {"table_name": self.table.name}).fetchone()
            if holder is None:
                raise self._unknown() from error
            if holder[2] != self.table.fingerprint:
                reason = f"the table of {self.table.read_model} has the columns of other code ({error})"
                raise StoreError(self._store, reason, "run the projector of this code, or rebuild") from error
            raise

    def _unknown(self) -> UnknownReadModelError:
        reason = f"the read model {self.table.read_model} has no table"
        return UnknownReadModelError(self._store, reason, "run its projector once, which makes the table")


def words_name(generation: int) -> str:
    return quoted(f"{generation}/words")


def search_name(generation: int) -> str:
    return quoted(f"{generation}/search")


# --- conditions ------------------------------------------------------------------------------------------------------


def _equalities(equals: Sequence[tuple[Column, Any]]) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    bound: dict[str, Any] = {}
    for at, (column, value) in enumerate(equals):
        name = quoted(column.name)
        if value is None:
            conditions.append(f"{name} IS NULL")
        else:
            conditions.append(equals_term(column.kind, name, f":equal{at}"))
            bound[f"equal{at}"] = equals_value(column, value)
    return conditions, bound


def _key_order(table: Table) -> tuple[Order, ...]:
    return check_find(table, Find({})).order


def _terms(order: Sequence[Order], prefix: str = "") -> _Terms:
    """What to sort by, and whether it descends."""
    return [
        (term, each.descending)
        for each in order
        for term in order_terms(each.column.kind, prefix + quoted(each.column.name))
    ]


def _behind(places: Sequence[tuple[str, bool, str, bool]]) -> list[str]:
    """Conditions on (term, descending, bound, bound is NULL) of a place: a row's terms come after it.

    Nested as behind(1) OR same(1) AND (behind(2) OR same(2) AND (...)). What the first term alone says is said once
    more in front, where an index can be used for it.
    """
    condition = "FALSE"
    for term, descending, bound, is_null in reversed(places):
        condition = f"({_is_behind(term, descending, bound, is_null)} OR {term} IS {bound} AND {condition})"
    term, descending, bound, is_null = places[0]
    if is_null or descending:
        return [condition]
    return [f"{term} >= {bound}", condition]


def _is_behind(term: str, descending: bool, bound: str, is_null: bool) -> str:
    """None comes first, or last where the order descends."""
    if is_null:
        return "FALSE" if descending else f"{term} IS NOT NULL"
    return f"({term} < {bound} OR {term} IS NULL)" if descending else f"{term} > {bound}"


def _bounded(limit: int | None) -> int:
    return _NO_LIMIT if limit is None else min(limit, 2**63 - 1)
