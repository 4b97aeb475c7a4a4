"""What a SQLite read store writes down about its read models: their tables, and how far each partition has come.

Every function runs statements on the connection that it is given, those that write in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from twofold.ports import Checkpoint, Fold, Share
from twofold.stores.statements import load_statements
from twofold.streams import START, Position
from twofold.tables import Table

__all__ = [
    "Standing",
    "advance",
    "checkpoints",
    "next_epoch",
    "put_standing",
    "remove_standing",
    "standing_of",
    "standings",
    "take",
]

SQL = load_statements(Path(__file__).with_name("read_store.sql"))


class Standing(NamedTuple):
    """A read model as it is written down."""

    read_model: str
    table_name: str
    generation: int
    fingerprint: str
    fold_fingerprint: str
    paused: bool
    shares: tuple[Share, ...]

    @classmethod
    def new(cls, table: Table, epoch: int, *, paused: bool) -> Standing:
        shares = tuple(Share(partition, epoch, START) for partition in range(table.partitions))
        return cls(table.read_model, table.name, epoch, table.fingerprint, table.fold_fingerprint, paused, shares)

    def renewed(self, place: Table, epoch: int, *, paused: bool) -> Standing:
        """The same rows in another place, with every share void."""
        shares = tuple(share._replace(epoch=epoch) for share in self.shares)
        return self._replace(read_model=place.read_model, table_name=place.name, paused=paused, shares=shares)

    @property
    def checkpoint(self) -> Checkpoint:
        """Without holders and error, which only the process that leases knows."""
        positions = tuple(share.position for share in self.shares)
        return Checkpoint(self.read_model, positions, self.fingerprint, self.fold_fingerprint, self.paused)


def standings(connection: sqlite3.Connection) -> Mapping[str, Standing]:
    return _standings(connection, None)


def standing_of(connection: sqlite3.Connection, read_model: str) -> Standing | None:
    return _standings(connection, read_model).get(read_model)


def checkpoints(connection: sqlite3.Connection) -> Mapping[str, Checkpoint]:
    return {read_model: standing.checkpoint for read_model, standing in standings(connection).items()}


def _standings(connection: sqlite3.Connection, read_model: str | None) -> dict[str, Standing]:
    rows = connection.execute(SQL["standings"], {"read_model": read_model})
    found: dict[str, Standing] = {}
    for (name, table_name, generation, code, fold_code, paused), partitions in groupby(rows, itemgetter(slice(6))):
        shares = tuple(Share(partition, epoch, Position(position)) for *_, partition, epoch, position in partitions)
        found[name] = Standing(name, table_name, generation, code, fold_code, bool(paused), shares)
    return found


def next_epoch(connection: sqlite3.Connection) -> int:
    """Newer than every epoch there ever was."""
    ((epoch,),) = connection.execute(SQL["next_epoch"]).fetchall()
    return epoch


def put_standing(connection: sqlite3.Connection, standing: Standing) -> Standing:
    connection.execute(SQL["put_read_model"], standing._asdict())
    connection.executemany(
        SQL["put_checkpoint"], [{"read_model": standing.read_model, **share._asdict()} for share in standing.shares]
    )
    return standing


def remove_standing(connection: sqlite3.Connection, read_model: str) -> None:
    for section in ("remove_read_model", "remove_checkpoints"):
        connection.execute(SQL[section], {"read_model": read_model})


def take(connection: sqlite3.Connection, partitions: Iterable[tuple[str, int]]) -> None:
    """Fence off whoever had these partitions of read models."""
    epoch = next_epoch(connection)
    taken = [{"read_model": name, "partition": partition, "epoch": epoch} for name, partition in partitions]
    connection.executemany(SQL["take"], taken)


def advance(connection: sqlite3.Connection, fold: Fold) -> Sequence[Share]:
    """Move the fold's shares and return them so; fewer of them when any is not as it is written down."""
    read_model, through = fold.table.read_model, fold.through
    moves = [{"read_model": read_model, "through": through, **share._asdict()} for share in fold.shares]
    moved = connection.executemany(SQL["advance"], moves).rowcount
    return [share._replace(position=through) for share in fold.shares][:moved]
