"""Leases on PostgreSQL: each call is one round trip, decided by the database under one lock and by its clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from twofold.ports import Checkpoint, Leased, Share
from twofold.stores.postgres.connections import Connection
from twofold.stores.postgres.running import run
from twofold.stores.postgres.statements import load_sql
from twofold.streams import Position

__all__ = ["StoredShare", "checkpoints_of", "read_shares", "release", "seize", "take_turn"]

SQL = load_sql("read_store.sql")


class StoredShare(NamedTuple):
    """A partition as the database has it, with what it knows of the read model. The holder is one whose lease runs."""

    read_model: str
    partition: int
    position: Position
    epoch: int
    holder: str
    fingerprint: str
    fold_fingerprint: str
    paused: bool
    error: str

    @property
    def share(self) -> Share:
        return Share(self.partition, self.epoch, self.position)


async def read_shares(connection: Connection, read_model: str | None = None) -> list[StoredShare]:
    """Of every read model or of one, in order of partition."""
    if read_model is None:
        cursor = await run(connection, SQL["checkpoints"])
    else:
        cursor = await run(connection, SQL["checkpoint"], [read_model])
    return _stored(await cursor.fetchall())


def checkpoints_of(stored: Iterable[StoredShare]) -> dict[str, Checkpoint]:
    return {name: _checkpoint(list(shares)) for name, shares in groupby(stored, attrgetter("read_model"))}


async def take_turn(
    connection: Connection, holder: str, wanted: Mapping[str, str], lease_s: float
) -> Mapping[str, Leased]:
    bound = [holder, msgspec.json.encode(wanted).decode(), lease_s]
    stored = _stored(await (await run(connection, SQL["take_turn"], bound)).fetchall())
    return {
        name: Leased(checkpoint, _held(holder, stored, name))
        for name, checkpoint in checkpoints_of(stored).items()
        if name in wanted
    }


async def seize(
    connection: Connection, holder: str, read_model: str, lease_s: float, *, force: bool
) -> tuple[Share, ...] | None:
    """The shares, none of them when another's lease runs; None when there is no such read model."""
    stored = _stored(await (await run(connection, SQL["seize"], [holder, read_model, lease_s, force])).fetchall())
    if not stored:
        return None
    is_seized = all(each.holder == holder for each in stored)
    return tuple(each.share for each in stored) if is_seized else ()


async def release(connection: Connection, holder: str) -> None:
    await run(connection, SQL["release"], [holder])


def _held(holder: str, stored: Sequence[StoredShare], read_model: str) -> tuple[Share, ...]:
    return tuple(each.share for each in stored if each.read_model == read_model and each.holder == holder)


def _stored(rows: Sequence[tuple[Any, ...]]) -> list[StoredShare]:
    return [StoredShare(*row) for row in rows]


def _checkpoint(shares: Sequence[StoredShare]) -> Checkpoint:
    first = shares[0]
    return Checkpoint(
        first.read_model,
        tuple(each.position for each in shares),
        first.fingerprint,
        first.fold_fingerprint,
        first.paused,
        first.error,
        tuple(each.holder for each in shares),
    )
