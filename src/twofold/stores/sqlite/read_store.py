"""Read store on SQLite: rows and checkpoints in a file of their own, apart from the event log.

One thread owns the only writing connection; loads for folding run on it too, where the pages of the last save are still
in its cache. Rows, checkpoint and fence of a fold are one transaction, under `synchronous = NORMAL`
(https://www.sqlite.org/pragma.html#pragma_synchronous): a crash of the process loses nothing, and after a power cut the
latest folds may be gone, rows and checkpoint together, so that they are folded again from the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from twofold.errors import FencedError, StoreError, UnknownReadModelError
from twofold.ports import Checkpoint, Fold
from twofold.stores.rows import Unstorable
from twofold.stores.sqlite.columns import quoted
from twofold.stores.sqlite.connections import Schema, StoreLock, open_writer, transaction, translated
from twofold.stores.sqlite.statements import load_statements
from twofold.stores.sqlite.table_reader import TableReader
from twofold.stores.sqlite.table_writer import TableWriter, drop_table
from twofold.stores.sqlite.threads import ConnectionThreads
from twofold.streams import START, Position
from twofold.tables import Key, Row, Table

__all__ = ["SCHEMA", "SqliteReadStore"]

SQL = load_statements("read_store.sql")
SCHEMA = Schema.load("read store", application_id=0x54_46_52_53, folder="read_store")  # "TFRS"

T = TypeVar("T")

_RESERVED = ("sqlite_", "twofold_")


class _Place(NamedTuple):
    """A read model's line in the table of checkpoints."""

    table_name: str
    generation: int
    position: int
    epoch: int
    fingerprint: str
    fold_fingerprint: str
    paused: int


class SqliteReadStore:
    """Made by `at`. Cancelling a caller does not interrupt what the writing thread does for it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._store = SCHEMA.store(path)
        self._writer = ConnectionThreads(self._store, [connection])
        self._tables: dict[str, _Access] = {}

    @classmethod
    @asynccontextmanager
    async def at(cls, path: Path) -> AsyncGenerator[SqliteReadStore]:
        """The read store in a file, which is made if it is missing; at most one process at a time has it open so.

        StoreInUseError, StoreNotWritableError, ForeignStoreError, CorruptStoreError and UnknownSchemaError leave the
        file as it is.
        """
        lock = StoreLock.acquire(path, SCHEMA.store(path))
        try:
            connection = open_writer(path, SCHEMA)
            connection.executescript(SQL["configure_writer"])
            store = cls(path, connection)
            try:
                yield store
            finally:
                await store._writer.close()
        finally:
            lock.release()

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        return await self._run(lambda connection: self._open(connection, table, restart))

    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return await self._run(lambda connection: self._table(table).reader.load(connection, keys))

    async def save(self, fold: Fold) -> None:
        await self._run(lambda connection: self._save(connection, fold))

    async def promote(self, rebuilt: Table, live: Table) -> Checkpoint:
        return await self._run(lambda connection: self._promote(connection, rebuilt, live))

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return await self._run(_checkpoints)

    async def set_paused(self, read_model: str, paused: bool) -> None:
        await self._run(lambda connection: self._set_paused(connection, read_model, paused))

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def explained(connection: sqlite3.Connection) -> T:
            with translated(self._store):
                return work(connection)

        return await self._writer.run(explained)

    def _table(self, table: Table) -> _Access:
        """The statements of a table, made once."""
        found = self._tables.get(table.name)
        if found is None or (found.table is not table and found.table != table):
            found = self._tables[table.name] = _Access(table, TableReader(self._store, table), TableWriter(table))
        return found

    # What follows runs in the writing thread.

    def _open(self, connection: sqlite3.Connection, table: Table, restart: bool) -> Checkpoint:
        with transaction(connection):
            self._check_name(connection, table)
            place = _place(connection, table.read_model)
            epoch = _next_epoch(connection)
            if place is None or restart or (place.table_name, place.fingerprint) != (table.name, table.fingerprint):
                if place is not None:
                    drop_table(connection, place.table_name, place.generation)
                self._table(table).writer.create(connection, epoch)
                return _put(
                    connection, table, START, epoch, generation=epoch, paused=place is not None and place.paused
                )
            connection.execute(SQL["take_over"], {"read_model": table.read_model, "epoch": epoch})
        return _checkpoint(table.read_model, place._replace(epoch=epoch))

    def _save(self, connection: sqlite3.Connection, fold: Fold) -> None:
        writer = self._table(fold.table).writer
        fence = {
            "read_model": fold.table.read_model,
            "epoch": fold.epoch,
            "after": fold.after,
            "through": fold.through,
        }
        try:
            with transaction(connection):
                advanced = connection.execute(SQL["advance"], fence).fetchall()
                if not advanced:
                    raise self._fenced(connection, fold)
                ((generation,),) = advanced
                if fold.deleted:
                    writer.delete(connection, generation, fold.deleted)
                if fold.rows:
                    writer.save(connection, generation, fold.rows)
        except Unstorable as error:
            raise error.in_fold(self._store, fold.table) from None

    def _promote(self, connection: sqlite3.Connection, rebuilt: Table, live: Table) -> Checkpoint:
        with transaction(connection):
            source = self._required(connection, rebuilt.read_model)
            target = _place(connection, live.read_model)
            if target is not None:
                drop_table(connection, target.table_name, target.generation)
            self._check_name(connection, live)
            connection.execute(SQL["rename_table"].format(table=quoted(source.table_name), name=quoted(live.name)))
            epoch = _next_epoch(connection)
            connection.execute(SQL["remove_checkpoint"], {"read_model": rebuilt.read_model})
            paused = target is not None and target.paused
            return _put(connection, live, source.position, epoch, generation=source.generation, paused=paused)

    def _set_paused(self, connection: sqlite3.Connection, read_model: str, paused: bool) -> None:
        with transaction(connection):
            self._required(connection, read_model)
            connection.execute(SQL["set_paused"], {"read_model": read_model, "paused": paused})

    def _required(self, connection: sqlite3.Connection, read_model: str) -> _Place:
        place = _place(connection, read_model)
        if place is None:
            reason = f"it holds no read model {read_model}"
            raise UnknownReadModelError(self._store, reason, "open it first, or correct the name")
        return place

    def _check_name(self, connection: sqlite3.Connection, table: Table) -> None:
        """A read model's table must not be SQLite's, the store's own or another read model's."""
        holder = connection.execute(SQL["holder"], {"table_name": table.name}).fetchone()
        owner = table.read_model if holder is None else holder[0]
        if owner != table.read_model or table.name.lower().startswith(_RESERVED):
            whose = "the database" if owner == table.read_model else f"the read model {owner}"
            reason = f"the table name {table.name} of {table.read_model} belongs to {whose}"
            raise StoreError(self._store, reason, "give the read model another name")

    def _fenced(self, connection: sqlite3.Connection, fold: Fold) -> FencedError:
        place = _place(connection, fold.table.read_model)
        found = f"stands at {place.position} in epoch {place.epoch}" if place else "is gone"
        reason = f"{fold.table.read_model} {found}, this worker folded from {fold.after} in epoch {fold.epoch}"
        return FencedError(self._store, reason, "another worker has it; open it again to take it over")


class _Access(NamedTuple):
    table: Table
    reader: TableReader
    writer: TableWriter


def _place(connection: sqlite3.Connection, read_model: str) -> _Place | None:
    found = connection.execute(SQL["place"], {"read_model": read_model}).fetchone()
    return None if found is None else _Place(*found)


def _checkpoint(read_model: str, place: _Place) -> Checkpoint:
    return Checkpoint(
        read_model, Position(place.position), place.epoch, place.fingerprint, place.fold_fingerprint, bool(place.paused)
    )


def _checkpoints(connection: sqlite3.Connection) -> Mapping[str, Checkpoint]:
    found = connection.execute(SQL["checkpoints"]).fetchall()
    return {read_model: _checkpoint(read_model, _Place(*place)) for read_model, *place in found}


def _next_epoch(connection: sqlite3.Connection) -> int:
    return connection.execute(SQL["next_epoch"]).fetchone()[0]


def _put(
    connection: sqlite3.Connection, table: Table, position: int, epoch: int, *, generation: int, paused: int | bool
) -> Checkpoint:
    place = _Place(
        table.name, generation, position, epoch, table.fingerprint, table.fold_fingerprint, paused=int(paused)
    )
    connection.execute(SQL["put_checkpoint"], {"read_model": table.read_model, **place._asdict()})
    return _checkpoint(table.read_model, place)
