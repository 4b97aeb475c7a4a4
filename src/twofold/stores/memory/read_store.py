"""Read store in memory, for tests and for systems that start from nothing: the port's promises, no durability.

Every call is done before the event loop gets a turn, so each sees all of a save or nothing of it. Rows are tuples of
values that can't be changed, so handing them out gives nobody a hold on what is stored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from math import log
from typing import Any

from twofold.errors import StoreError, UnknownReadModelError
from twofold.ports import NOTHING_HELD, Checkpoint, Find, Fold, Held, Leased, Share
from twofold.stores.finds import CheckedFind, check_equals, check_find, check_limit, lost_place
from twofold.stores.moves import Moves
from twofold.stores.rows import Unstorable, as_key, as_row, by_key, order_value
from twofold.stores.sharing import Sharing, check_held, fenced, other_columns
from twofold.stores.words import words
from twofold.streams import START
from twofold.tables import Column, Key, Row, Table

__all__ = ["MemoryReadStore"]

STORE = "read store in memory"


@dataclass(slots=True)
class _Held:
    """A read model: its table as it was made, its partitions, its rows by key."""

    table: Table
    shares: tuple[Share, ...]
    paused: bool
    rows: dict[Key, Row] = field(default_factory=dict[Key, Row])

    @property
    def checkpoint(self) -> Checkpoint:
        """Without what only the sharing knows: its holders and its error."""
        positions = tuple(share.position for share in self.shares)
        table = self.table
        return Checkpoint(table.read_model, positions, table.fingerprint, table.fold_fingerprint, self.paused)


class MemoryReadStore:
    """Both sides: what projectors write and lease, and what queries read."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._last_epoch = 0
        self._sharing = Sharing()
        self._moves = Moves()

    # --- ReadStore ---

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        self._check_name(table)
        held = self._held.get(table.read_model)
        if held is None or restart:
            epoch = self._next_epoch()
            shares = tuple(Share(partition, epoch, START) for partition in range(table.partitions))
            held = self._put(_Held(table, shares, paused=held is not None and held.paused))
        return self._sharing.told(held.checkpoint)

    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return await self.get(table, keys)

    async def save(self, fold: Fold) -> Sequence[Share]:
        held = self._fenced(fold)
        try:
            rows = [as_row(fold.table, row) for row in fold.rows]
            deleted = [as_key(fold.table, key) for key in fold.deleted]
        except Unstorable as error:
            raise error.in_fold(STORE, fold.table) from None
        for key in deleted:
            held.rows.pop(key, None)
        held.rows.update(by_key(fold.table, rows))
        moved = {share.partition: share._replace(position=fold.through) for share in fold.shares}
        held.shares = tuple(moved.get(share.partition, share) for share in held.shares)
        self._moves.moved()
        return [moved[share.partition] for share in fold.shares]

    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        check_held(STORE, held, lambda read_model: self._required(read_model).shares)
        source, former = self._required(rebuilt.read_model), live.aside("former")
        self._check_name(live)
        self._check_name(former)
        del self._held[rebuilt.read_model]
        self._sharing = self._sharing.void(rebuilt.read_model)
        target = self._held.pop(live.read_model, None)
        if target is not None:
            self._put(self._renewed(target, former, paused=False))
        promoted = self._put(self._renewed(source, live, paused=target is not None and target.paused))
        return self._sharing.told(promoted.checkpoint)

    async def drop(self, read_model: str) -> None:
        if self._held.pop(read_model, None) is not None:
            self._sharing = self._sharing.void(read_model)
            self._moves.moved()

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return {read_model: self._sharing.told(held.checkpoint) for read_model, held in self._held.items()}

    async def set_paused(self, read_model: str, paused: bool) -> None:
        self._required(read_model).paused = paused
        self._moves.moved()

    # --- Leases ---

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        there = {read_model: self._held[read_model] for read_model in wanted if read_model in self._held}
        partitions = {read_model: len(held.shares) for read_model, held in there.items()}
        self._go_over_to(self._sharing.lease(holder, wanted, partitions), holder)
        return {
            read_model: Leased(self._sharing.told(held.checkpoint), self._shares(holder, held))
            for read_model, held in there.items()
        }

    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        held = self._required(read_model)
        seized = self._sharing.seize(holder, read_model, len(held.shares), force=force)
        if seized is None:
            return ()
        self._go_over_to(seized, holder)
        return self._shares(holder, held)

    async def release(self, holder: str) -> None:
        self._sharing = self._sharing.release(holder)

    # --- RowReader ---

    async def get(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        rows = self._rows(table)
        return {key: rows[key] for key in keys if key in rows}

    async def find(self, table: Table, find: Find) -> Sequence[Row]:
        wanted = check_find(table, find)
        order = cmp_to_key(_Comparison(table, wanted))
        rows = sorted(_equal_rows(table, wanted.equals, self._rows(table).values()), key=order)
        if wanted.start_after is not None:
            place = order(self._place(table, wanted, wanted.start_after))
            rows = [row for row in rows if order(row) > place]  # pyright: ignore[reportOperatorIssue]
        return rows if wanted.limit is None else rows[: wanted.limit]

    async def count(self, table: Table, equals: Mapping[str, Any]) -> int:
        return len(_equal_rows(table, check_equals(table, equals), self._rows(table).values()))

    async def search(self, table: Table, text: str, limit: int) -> Sequence[Row]:
        check_limit(limit)
        if not table.search:
            raise ValueError(f"{table.read_model} has no columns under search; declare it with search=[...]")
        return _best_rows(table, words(text), self._rows(table))[:limit]

    async def sql(self, text: str, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """StoreError: there is no SQL here."""
        raise StoreError(STORE, "it has no SQL", "use find, count or search, or a read store on SQLite")

    async def wait(self, timeout_s: float) -> None:
        await self._moves.wait(timeout_s)

    # --- inside ---

    def _rows(self, table: Table) -> dict[Key, Row]:
        for held in self._held.values():
            if held.table.name == table.name:
                if held.table.fingerprint != table.fingerprint:
                    raise other_columns(STORE, table)
                return held.rows
        reason = f"the read model {table.read_model} has no table"
        raise UnknownReadModelError(STORE, reason, "run its projector once, which makes the table")

    def _place(self, table: Table, wanted: CheckedFind, key: Key) -> Row:
        """A row that stands where the key's row does."""
        row = self._rows(table).get(key)
        if row is not None:
            return row
        if not wanted.place_in_key(table):
            raise lost_place(table, key)
        parts = dict(zip(table.key, key, strict=True))
        return tuple(parts.get(column.name) for column in table.columns)

    def _next_epoch(self) -> int:
        """Newer than every epoch there ever was, also of read models that are gone."""
        self._last_epoch += 1
        return self._last_epoch

    def _put(self, held: _Held) -> _Held:
        """Under the name of its table. Whoever held its shares has lost them."""
        self._held[held.table.read_model] = held
        self._sharing = self._sharing.void(held.table.read_model)
        self._moves.moved()
        return held

    def _renewed(self, held: _Held, place: Table, *, paused: bool) -> _Held:
        """The rows under another name; still the columns and the fold of the code that made them."""
        epoch = self._next_epoch()
        table = dataclasses.replace(held.table, read_model=place.read_model, name=place.name)
        return _Held(table, tuple(share._replace(epoch=epoch) for share in held.shares), paused, held.rows)

    def _go_over_to(self, sharing: Sharing, holder: str) -> None:
        """Give the holder's new shares new epochs, which fence off whoever had them."""
        gained = sharing.gained(holder, self._sharing)
        epoch = self._next_epoch() if gained else 0
        for read_model, partition in gained:
            held = self._held[read_model]
            taken = held.shares[partition]._replace(epoch=epoch)
            held.shares = (*held.shares[:partition], taken, *held.shares[partition + 1 :])
        self._sharing = sharing

    def _shares(self, holder: str, held: _Held) -> tuple[Share, ...]:
        mine = self._sharing.of(holder, held.table.read_model)
        return tuple(share for share in held.shares if share.partition in mine)

    def _fenced(self, fold: Fold) -> _Held:
        """The read model of the fold; FencedError when its shares are not the stored ones."""
        held = self._held.get(fold.table.read_model)
        stored = () if held is None else held.shares
        if held is None or not fold.shares or not set(fold.shares) <= set(stored):
            raise fenced(STORE, fold, stored)
        if held.table.fingerprint != fold.table.fingerprint:
            raise other_columns(STORE, fold.table)
        return held

    def _required(self, read_model: str) -> _Held:
        held = self._held.get(read_model)
        if held is None:
            reason = f"it holds no read model {read_model}"
            raise UnknownReadModelError(STORE, reason, "open it first, or correct the name")
        return held

    def _check_name(self, table: Table) -> None:
        """A read model's table must not be another read model's."""
        for held in self._held.values():
            if held.table.name.lower() == table.name.lower() and held.table.read_model != table.read_model:
                reason = f"the table name {table.name} of {table.read_model} belongs to {held.table.read_model}"
                raise StoreError(STORE, reason, "give the read model another name")


# --- finding ---------------------------------------------------------------------------------------------------------


class _Comparison:
    """Compares rows by their places in an order: negative when the first comes first."""

    def __init__(self, table: Table, wanted: CheckedFind) -> None:
        names = [column.name for column in table.columns]
        self._order = [(names.index(each.column.name), -1 if each.descending else 1) for each in wanted.order]

    def __call__(self, one: Row, other: Row) -> int:
        for at, sign in self._order:
            left, right = order_value(one[at]), order_value(other[at])
            if left != right:
                return -sign if left < right else sign
        return 0


def _equal_rows(table: Table, equals: Iterable[tuple[Column, Any]], rows: Iterable[Row]) -> list[Row]:
    wanted = [(table.columns.index(column), order_value(value)) for column, value in equals]
    return [row for row in rows if all(order_value(row[at]) == value for at, value in wanted)]


# --- full-text search ------------------------------------------------------------------------------------------------

_K1, _B, _LEAST_WEIGHT = 1.2, 0.75, 1e-6


def _best_rows(table: Table, wanted: Sequence[str], rows: Mapping[Key, Row]) -> list[Row]:
    """Ranked by bm25 with the constants of SQLite's FTS5, and by key where that ranks alike
    (https://www.sqlite.org/fts5.html#the_bm25_function)."""
    places = [[column.name for column in table.columns].index(name) for name in table.search]
    texts = {key: [word for at in places for word in words(row[at] or "")] for key, row in rows.items()}
    hits = [
        {key: count for key, text in texts.items() if (count := sum(word.startswith(start) for word in text))}
        for start in dict.fromkeys(wanted)
    ]
    found = set(texts).intersection(*hits) if hits else set[Key]()
    average = sum(map(len, texts.values())) / max(1, len(texts))

    def badness(key: Key) -> tuple[float, Any]:
        length = _K1 * (1 - _B + _B * len(texts[key]) / average)
        scores = [_weight(len(texts), len(hit)) * hit[key] * (_K1 + 1) / (hit[key] + length) for hit in hits]
        return -sum(scores), tuple(map(order_value, key))

    return [rows[key] for key in sorted(found, key=badness)]


def _weight(rows: int, rows_with_word: int) -> float:
    """How telling a word is: the rarer, the more."""
    return max(_LEAST_WEIGHT, log((rows - rows_with_word + 0.5) / (rows_with_word + 0.5)))
