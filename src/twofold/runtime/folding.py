"""Fold a page of events into rows, in memory: which keys it touches, what they become.

The page is all or none. An event that a handler can't take raises UnfoldableEventError; the rows of that attempt are
dropped, since handlers may have changed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from twofold.codec import EventCodec, check_row
from twofold.errors import CorruptStoreError, FencedError, UnavailableError, UnfoldableEventError
from twofold.messages import RawEvent
from twofold.ports import Checkpoint, Fold, ReadStore
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


def touches(model: ReadModelType, codec: EventCodec, page: Sequence[RawEvent]) -> list[Touch]:
    """What the page does to rows of the read model, in order."""
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
    return found


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
    """Folds pages of one read model into its table in a read store, as the worker of one epoch."""

    def __init__(self, model: ReadModelType, table: Table, codec: EventCodec, store: ReadStore) -> None:
        self._model, self._table, self._codec, self._store = model, table, codec, store
        self.epoch = 0
        self.position = Position(0)
        self.stored_position = Position(0)

    async def open(self, *, restart: bool = False) -> str:
        """Take the table over and stand where its checkpoint does; returns the stored fold fingerprint."""
        checkpoint = await self._store.open(self._table, restart=restart)
        self.stand_at(checkpoint)
        return checkpoint.fold_fingerprint

    def stand_at(self, checkpoint: Checkpoint) -> None:
        self.epoch, self.position, self.stored_position = checkpoint.epoch, checkpoint.position, checkpoint.position

    async def fold(self, page: Sequence[RawEvent], *, save_always: bool) -> None:
        """Fold the page and save rows and checkpoint together.

        A page that touches no row is not saved, unless `save_always`: only the position moves on, in memory, and is
        saved with the next rows. After a crash such pages are read again, to no effect. UnfoldableEventError names the
        event that can't be taken; then nothing of the page was saved.
        """
        todo = touches(self._model, self._codec, page)
        through = page[-1].position
        if todo or save_always:
            rows = await self._load({touch.key for touch in todo})
            fold_rows(self._model, todo, rows)
            try:
                await self._save(rows, through)
            except (FencedError, UnavailableError, CorruptStoreError):
                raise
            except Exception as error:
                raise await self._blamed(todo, error) from error
        self.position = through

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

    async def save_position(self) -> None:
        """Store how far pages without rows have come."""
        if self.position != self.stored_position:
            await self._save({}, self.position)

    async def _load(self, keys: set[Key]) -> dict[Key, ReadModel | None]:
        if not keys:
            return {}
        found = await self._store.load(self._table, list(keys))
        from_row = self._model.from_row
        return {key: from_row(row) for key, row in found.items()}

    async def _save(self, rows: dict[Key, ReadModel | None], through: Position) -> None:
        changed = [self._as_row(key, row) for key, row in rows.items() if row is not None]
        deleted = [key for key, row in rows.items() if row is None]
        await self._store.save(Fold(self._table, self.epoch, self.stored_position, through, changed, deleted))
        self.stored_position = through

    def _as_row(self, key: Key, row: ReadModel) -> Row:
        if self._model.key_of(row) != key:
            names = ", ".join(self._model.key)
            raise ValueError(f"the handler changed the row's key ({names}) from {key} to {self._model.key_of(row)}")
        return self._model.to_row(row)
