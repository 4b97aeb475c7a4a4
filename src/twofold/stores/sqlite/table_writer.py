"""Makes one read model's table and writes its rows.

Rows are saved by few statements of many rows each. `sqlite3` gives the GIL away once per statement, so beside a thread
that computes, the number of statements is what a save costs. Measured against `executemany`, which runs the statement
for every row, with 500 rows of six columns: three quarters of its time alone, a sixth beside a thread that computes.
(One statement for all rows, fed with one JSON text, takes 1.7 times as long alone.)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from twofold.stores.rows import Unstorable, column_of
from twofold.stores.sqlite.columns import SQL_TYPES, encode_columns, order_terms, quoted
from twofold.stores.sqlite.table_keys import TableKeys
from twofold.stores.sqlite.table_reader import search_name, words_name
from twofold.stores.statements import load_statements
from twofold.stores.words import words
from twofold.tables import Column, Key, Row, Table

__all__ = ["TableWriter", "drop_table"]

SQL = load_statements(Path(__file__).with_name("read_store.sql"))

_SIZES = (1024, 256, 64, 16, 4, 1)
"""Of statements, in rows: few enough that every one stays prepared."""

_MOST_PARAMETERS = 32_766
"""Of one statement (SQLITE_MAX_VARIABLE_NUMBER)."""


class TableWriter:
    """Every method runs statements in the caller's transaction, on the writing connection."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._name = quoted(table.name)
        self._keys = TableKeys(table)
        self._rows = _Upsert(self._name, [quoted(column.name) for column in table.columns], self._keys.names)
        self._words: _Words | None = None

    def create(self, connection: sqlite3.Connection, generation: int) -> None:
        columns = ", ".join(f"{quoted(each.name)} {SQL_TYPES[each.kind]}" for each in self.table.columns)
        key = ", ".join(self._keys.names)
        connection.execute(SQL["create_table"].format(table=self._name, columns=columns, key=key))
        for group in dict.fromkeys(self.table.indexes):
            index = quoted(f"{generation}/{','.join(group)}")
            terms = ", ".join(_index_term(column_of(self.table, name)) for name in group)
            connection.execute(SQL["create_index"].format(index=index, table=self._name, terms=terms))
        if self.table.search:
            self._words_of(generation).create(connection)

    def save(self, connection: sqlite3.Connection, generation: int, rows: Sequence[Row]) -> None:
        """Insert the rows, each in place of the one with its key; Unstorable names a value that can't be held."""
        rows = self._keys.by_value(rows)
        encoded = encode_columns(self.table.columns, rows)
        for name, values in zip([each.name for each in self.table.columns], encoded, strict=True):
            if name in self.table.key and None in values:
                raise Unstorable(f"{name} is part of the key and can't be None")
        self._rows.run(connection, encoded)
        if self.table.search:
            self._words_of(generation).save(connection, encoded)

    def delete(self, connection: sqlite3.Connection, generation: int, keys: Sequence[Key]) -> None:
        self._delete(connection, self._name, self._keys.names, keys)
        if self.table.search:
            own = self._words_of(generation)
            self._delete(connection, own.name, own.key, keys)

    def _delete(self, connection: sqlite3.Connection, name: str, columns: list[str], keys: Sequence[Key]) -> None:
        if self._keys.in_json:
            statement = SQL["delete_rows"].format(table=name, key=self._keys.among_wanted(columns))
            connection.execute(statement, {"keys": self._keys.as_json(keys)})
        else:
            statement = SQL["delete_rows"].format(table=name, key=self._keys.equals(columns))
            connection.executemany(statement, map(self._keys.values, keys))

    def _words_of(self, generation: int) -> _Words:
        if self._words is None or self._words.generation != generation:
            self._words = _Words(self.table, generation)
        return self._words


def drop_table(connection: sqlite3.Connection, name: str, generation: int) -> None:
    """With its indexes and what belongs to its full-text search."""
    for each in (search_name(generation), words_name(generation), quoted(name)):
        connection.execute(SQL["drop_table"].format(table=each))


class _Words:
    """The words of a table's rows and their full-text index, which triggers keep in step with the words."""

    def __init__(self, table: Table, generation: int) -> None:
        self.generation = generation
        self.name = words_name(generation)
        self.key = [quoted(f"key/{name}") for name in table.key]
        self._key_columns = [column_of(table, name) for name in table.key]
        names = [column.name for column in table.columns]
        self._key_at = [names.index(name) for name in table.key]
        self._search_at = [names.index(name) for name in table.search]
        self._texts = [f"text{at}" for at in range(len(table.search))]
        self._upsert = _Upsert(self.name, [*self.key, *self._texts], self.key, only_changed=True)

    def create(self, connection: sqlite3.Connection) -> None:
        keys = [
            f"{name} {SQL_TYPES[column.kind]} NOT NULL"
            for name, column in zip(self.key, self._key_columns, strict=True)
        ]
        statements = SQL["create_words"].format(
            words=self.name,
            search=search_name(self.generation),
            columns=", ".join([*keys, *(f"{text} TEXT NOT NULL" for text in self._texts)]),
            key=", ".join(self.key),
            texts=", ".join(self._texts),
            new_texts=", ".join(f"new.{text}" for text in self._texts),
            old_texts=", ".join(f"old.{text}" for text in self._texts),
            on_insert=quoted(f"{self.generation}/words inserted"),
            on_update=quoted(f"{self.generation}/words updated"),
            on_delete=quoted(f"{self.generation}/words deleted"),
        )
        for statement in _statements(statements):
            connection.execute(statement)

    def save(self, connection: sqlite3.Connection, encoded: Sequence[Sequence[Any]]) -> None:
        texts = [[" ".join(words(text or "")) for text in encoded[at]] for at in self._search_at]
        self._upsert.run(connection, [*(encoded[at] for at in self._key_at), *texts])


class _Upsert:
    """Inserts or updates rows given as columns, many per statement."""

    def __init__(self, table: str, columns: list[str], key: list[str], *, only_changed: bool = False) -> None:
        others = [name for name in columns if name not in key]
        section = "save_words" if only_changed else "save_rows" if others else "save_keys"
        self._width = len(columns)
        self._template = SQL[section]
        self._parts = {
            "table": table,
            "columns": ", ".join(columns),
            "key": ", ".join(key),
            "changes": ", ".join(f"{name} = excluded.{name}" for name in others),
            "changed": " OR ".join(f"{name} <> excluded.{name}" for name in others),
        }
        self._sizes = [size for size in _SIZES if size * self._width <= _MOST_PARAMETERS or size == 1]
        self._statements = {size: self._statement(size) for size in self._sizes}

    def run(self, connection: sqlite3.Connection, columns: Sequence[Sequence[Any]]) -> None:
        flat = list(chain.from_iterable(zip(*columns, strict=True)))
        at = 0
        for size in self._pieces(len(columns[0])):
            until = at + size * self._width
            connection.execute(self._statements[size], flat[at:until])
            at = until

    def _pieces(self, rows: int) -> Iterator[int]:
        for size in self._sizes:
            while rows >= size:
                yield size
                rows -= size

    def _statement(self, size: int) -> str:
        row = f"({', '.join('?' * self._width)})"
        return self._template.format(**self._parts, rows=", ".join([row] * size))


def _index_term(column: Column) -> str:
    return order_terms(column.kind, quoted(column.name))[0]


def _statements(script: str) -> Iterator[str]:
    """One by one, since `executescript` would commit the transaction under way."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
