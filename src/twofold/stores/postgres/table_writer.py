"""Makes one read model's table and writes its rows: all that a fold does is one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twofold.errors import StoreError
from twofold.ports import Fold
from twofold.stores.postgres.columns import SQL_TYPES, WRITTEN, array, arrays, encode_columns, has_written, quoted
from twofold.stores.postgres.running import Statement
from twofold.stores.postgres.search_words import as_vector
from twofold.stores.postgres.statements import load_sql
from twofold.stores.postgres.table_keys import TableKeys
from twofold.stores.rows import Unstorable, column_of
from twofold.tables import Column, ColumnKind, Row, Table

__all__ = ["TableWriter", "check_names", "in_schema", "order_term"]

SQL = load_sql("read_store.sql")

_MOST_BYTES_OF_NAME = 63
_RESERVED = "twofold_"
_SUFFIXES = ("__rebuild", "__former")
_WORDS = "#words"
_PARAMETERS_OF_MOVE = 5


class TableWriter:
    """Makes statements; whoever has a connection runs them."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._name = in_schema(table.name)
        self._keys = TableKeys(table)
        self._has_written = any(map(has_written, table.columns))
        self._search_at = [[column.name for column in table.columns].index(name) for name in table.search]
        self._statements = {
            (deletes, saves): self._statement(deletes=deletes, saves=saves)
            for deletes in (False, True)
            for saves in (False, True)
        }

    def create(self) -> Iterator[str]:
        columns = [_column(column, in_key=column.name in self.table.key) for column in self.table.columns]
        columns += [f"{quoted(name)} {kind}" for name, kind in self._hidden()]
        key = ", ".join(self._keys.names)
        yield SQL["create_table"].format(table=self._name, columns=", ".join(columns), key=key)
        for group in dict.fromkeys(self.table.indexes):
            # The key's columns too: they break ties, so that a page in the order of the index needs no sorting.
            names = dict.fromkeys((*group, *self.table.key))
            terms = ", ".join(order_term(self.table, column_of(self.table, name)) for name in names)
            yield SQL["create_index"].format(table=self._name, terms=terms)
        if self.table.search:
            yield SQL["create_search"].format(table=self._name)

    def save(self, fold: Fold) -> Statement:
        """Move the shares, which fails as a whole when they are not the stored ones, delete rows, and insert rows, each
        in place of the one with its key. Unstorable names a value that can't be held."""
        partitions, epochs, positions = [list(each) for each in zip(*fold.shares, strict=True)] or [[], [], []]
        bound: list[Any] = [fold.table.read_model, partitions, epochs, positions, fold.through]
        if fold.deleted:
            bound += self._keys.as_arrays(fold.deleted)
        if fold.rows:
            bound += self._as_arrays(self._keys.by_value(fold.rows))
        return Statement(self._statements[bool(fold.deleted), bool(fold.rows)], bound)

    def _as_arrays(self, rows: Sequence[Row]) -> list[str]:
        encoded, written = encode_columns(self.table.columns, rows)
        self._check_keys(rows)
        if self._has_written:
            encoded.append(array(written))
        if self._search_at:
            encoded.append(array([as_vector([row[at] for at in self._search_at]) for row in rows]))
        return encoded

    def _check_keys(self, rows: Sequence[Row]) -> None:
        for at, column in enumerate(self.table.columns):
            if column.name in self.table.key and None in [row[at] for row in rows]:
                raise Unstorable(f"{column.name} is part of the key and can't be None")

    def _statement(self, *, deletes: bool, saves: bool) -> str:
        move, first = SQL["move"], _PARAMETERS_OF_MOVE + 1
        if not saves:
            return SQL["save"].format(move=move, work=self._delete_rows(first)) if deletes else move
        if not deletes:
            return SQL["save"].format(move=move, work=self._save_rows(first))
        work = self._save_rows(first + len(self._keys.names))
        return SQL["save_both"].format(move=move, delete=self._delete_rows(first), work=work)

    def _delete_rows(self, first: int) -> str:
        keys = self._keys
        return SQL["delete_rows"].format(
            table=self._name, arrays=keys.arrays(first), names=keys.wanted_names, key=keys.is_wanted
        )

    def _save_rows(self, first: int) -> str:
        columns = [(quoted(column.name), SQL_TYPES[column.kind]) for column in self.table.columns]
        columns += [(quoted(name), kind) for name, kind in self._hidden()]
        changing = [name for name, _ in columns if name not in self._keys.names]
        return SQL["save_rows" if changing else "save_keys"].format(
            table=self._name,
            columns=", ".join(name for name, _ in columns),
            names=", ".join(f"v{at}" for at in range(len(columns))),
            arrays=arrays([kind for _, kind in columns], first),
            key=", ".join(self._keys.names),
            changes=", ".join(f"{name} = excluded.{name}" for name in changing),
        )

    def _hidden(self) -> Iterator[tuple[str, str]]:
        """Columns that are the store's own, and their types."""
        if self._has_written:
            yield WRITTEN, "jsonb"
        if self.table.search:
            yield _WORDS, "tsvector"


def in_schema(name: str) -> str:
    return f"twofold_read.{quoted(name)}"


def order_term(table: Table, column: Column, prefix: str = "", *, descending: bool = False) -> str:
    """None comes first, or last where the order descends. A key has none; its index has PostgreSQL's own order."""
    name = prefix + quoted(column.name)
    if column.name in table.key:
        return f"{name} DESC" if descending else name
    return f"{name} DESC NULLS LAST" if descending else f"{name} NULLS FIRST"


def check_names(store: str, table: Table) -> None:
    """StoreError for names that PostgreSQL or the store itself can't have as a table's or a column's."""
    if table.name.lower().startswith(_RESERVED):
        reason = f"the table name {table.name} of {table.read_model} belongs to the store itself"
        raise StoreError(store, reason, "give the read model another name")
    base = next((table.name.removesuffix(each) for each in _SUFFIXES if table.name.endswith(each)), table.name)
    for name in (f"{base}{_SUFFIXES[0]}", *(column.name for column in table.columns)):
        if len(name.encode()) > _MOST_BYTES_OF_NAME:
            reason = f"{table.read_model}: the name {name} is longer than PostgreSQL's {_MOST_BYTES_OF_NAME} bytes"
            raise StoreError(store, reason, "give it a shorter name")


def _column(column: Column, *, in_key: bool) -> str:
    collation = ' COLLATE "C"' if column.kind in (ColumnKind.TEXT, ColumnKind.JSON) else ""
    return f"{quoted(column.name)} {SQL_TYPES[column.kind]}{collation}{' NOT NULL' if in_key else ''}"
