"""Fold a page of events into rows, in memory: which keys it touches, what they become.

The page is all or none. An event that a handler can't take raises UnfoldableEventError; the rows of that attempt are
dropped, since handlers may have changed them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from twofold.codec import EventCodec, check_row
from twofold.errors import CorruptStoreError, FencedError, UnavailableError, UnfoldableEventError
from twofold.messages import RawEvent
from twofold.ports import Fold, ReadStore, Share
from twofold.read_model import FoldHandler, ReadModel, ReadModelType
from twofold.streams import Position
from twofold.tables import Key, Row, Table

__all__ = ["Folder", "Touch", "fold_rows", "touches"]


class Touch(NamedTuple):
    """One event's effect on one row, yet to be done."""

    stored: RawEvent
    handler: FoldHandler
    event: Any
    key: Key


def touches(
    model: ReadModelType, codec: EventCodec, page: Sequence[RawEvent], partitions: Collection[int] | None = None
) -> list[Touch]:
    """What the page does to rows of the read model, in order; only to rows of the partitions, if any are given."""
    by_name = {event.stored_name: handler for event, handler in model.handlers.items()}
    found: list[Touch] = []
    for stored in page:
        handler = by_name.get(stored.type)
        if handler is None:
            continue
        try:
            recorded = codec.recorded(stored) if handler.wants_recorded else None
            event = codec.decode(stored) if recorded is None else recorded.event
            found += [Touch(stored, handler, recorded or event, key) for key in handler.keys(event)]
        except Exception as error:
            raise UnfoldableEventError(model.name, stored.position, stored.type, error) from error
    if partitions is None:
        return found
    return [touch for touch in found if model.table.partition_of(touch.key) in partitions]


def fold_rows(model: ReadModelType, todo: Sequence[Touch], rows: dict[Key, ReadModel | None]) -> None:
    """Do the touches in order on the rows, which are changed in place; None stands for a deleted or absent row."""
    for stored, handler, event, key in todo:
        row = rows.get(key)
        try:
            if row is None:
                row = rows[key] = model.initial(key)
            if handler.wants_key:
                handler.function(row, event, key[0] if len(key) == 1 else key)
            else:
                handler.function(row, event)
        except Exception as error:
            raise UnfoldableEventError(model.name, stored.position, stored.type, error) from error
        if row.is_deleted:
            rows[key] = None


class Folder:
    """Folds pages of one read model into its table in a read store, for whoever holds the shares."""

    def __init__(self, model: ReadModelType, table: Table, codec: EventCodec, store: ReadStore) -> None:
        self._model, self._table, self._codec, self._store = model, table, codec, store

    async def fold(self, page: Sequence[RawEvent], shares: Sequence[Share], *, save_always: bool) -> Sequence[Share]:
        """Fold the page into the partitions of the shares, and save rows and checkpoints together.

        Returns the shares as they are stored then. A page that touches no row is not saved, unless `save_always`:
        its shares come back as they were, and are saved with the next rows. After a crash such pages are read again, to
        no effect. UnfoldableEventError names the event that can't be taken; then nothing of the page was saved.
        """
        mine = None if len(shares) == self._table.partitions else {share.partition for share in shares}
        todo = touches(self._model, self._codec, page, mine)
        if not todo and not save_always:
            return shares
        rows = await self._load({touch.key for touch in todo})
        fold_rows(self._model, todo, rows)
        try:
            return await self._save(shares, rows, page[-1].position)
        except (FencedError, UnavailableError, CorruptStoreError):
            raise
        except Exception as error:
            raise await self._blamed(todo, error) from error

    async def save_position(self, shares: Sequence[Share], position: Position) -> Sequence[Share]:
        """Store how far pages without rows have come."""
        return await self._save(shares, {}, position)

    async def _blamed(self, todo: Sequence[Touch], error: Exception) -> Exception:
        """The error with the event that made a row which can't be saved: found by doing the page again, slowly."""
        rows = await self._load({touch.key for touch in todo})
        for touch in todo:
            fold_rows(self._model, [touch], rows)
            row = rows[touch.key]
            try:
                if row is not None:
                    check_row(self._model.name, self._as_row(touch.key, row))
            except Exception as reason:
                return UnfoldableEventError(self._model.name, touch.stored.position, touch.stored.type, reason)
        return error

    async def _load(self, keys: set[Key]) -> dict[Key, ReadModel | None]:
        if not keys:
            return {}
        found = await self._store.load(self._table, list(keys))
        from_row = self._model.from_row
        return {key: from_row(row) for key, row in found.items()}

    async def _save(
        self, shares: Sequence[Share], rows: dict[Key, ReadModel | None], through: Position
    ) -> Sequence[Share]:
        changed = [self._as_row(key, row) for key, row in rows.items() if row is not None]
        deleted = [key for key, row in rows.items() if row is None]
        return await self._store.save(Fold(self._table, shares, through, changed, deleted))

    def _as_row(self, key: Key, row: ReadModel) -> Row:
        if self._model.key_of(row) != key:
            names = ", ".join(self._model.key)
            raise ValueError(f"the handler changed the row's key ({names}) from {key} to {self._model.key_of(row)}")
        return self._model.to_row(row)
