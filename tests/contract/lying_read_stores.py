"""Read stores that lie, one lie each: what the contract must catch."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from twofold.errors import FencedError, StoreError
from twofold.ports import Checkpoint, Find, Fold
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.tables import ColumnKind, Key, Row, Table


class RowsWithoutCheckpoint(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        await super().save(fold)
        held = self._held[fold.table.read_model]
        held.checkpoint = held.checkpoint._replace(position=fold.after)


class CheckpointWithoutRows(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        await super().save(fold._replace(rows=[]))


class ChecksTheFenceAfterWriting(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        try:
            await super().save(fold)
        except FencedError:
            held = self._held[fold.table.read_model]
            held.rows.update({tuple(row[: len(fold.table.key)]): row for row in fold.rows})
            raise


class IgnoresTheEpoch(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        await super().save(fold._replace(epoch=self._held[fold.table.read_model].checkpoint.epoch))


class IgnoresWhereThePageStarts(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        held = self._held.get(fold.table.read_model)
        await super().save(fold._replace(after=held.checkpoint.position) if held else fold)


class UsesEpochsAgain(MemoryReadStore):
    def _next_epoch(self) -> int:
        return 1


class ForgetsDeletions(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        await super().save(fold._replace(deleted=[]))


class KeepsRowsOfOtherColumns(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        held = self._held.get(table.read_model)
        if held is not None and not restart:
            held.table, held.checkpoint = table, held.checkpoint._replace(fingerprint=table.fingerprint)
        return await super().open(table, restart=restart)


class ForgetsPauses(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        return (await super().open(table, restart=restart))._replace(paused=False)


class _Changing(MemoryReadStore):
    def changed(self, value: Any) -> Any:
        return value

    async def save(self, fold: Fold) -> None:
        await super().save(fold._replace(rows=[tuple(self.changed(value) for value in row) for row in fold.rows]))


class LosesDecimalDigits(_Changing):
    def changed(self, value: Any) -> Any:
        return value.normalize() if isinstance(value, Decimal) else value


class LosesOffsets(_Changing):
    def changed(self, value: Any) -> Any:
        return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo and value.year == 1890 else value


class LosesMicroseconds(_Changing):
    def changed(self, value: Any) -> Any:
        return value.replace(microsecond=0) if isinstance(value, datetime) else value


class TakesWhatItCanNotHold(_Changing):
    def changed(self, value: Any) -> Any:
        return value % 2**63 if isinstance(value, int) and value >= 2**63 else value


class SavesHalfOfARefusedPage(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        try:
            await super().save(fold)
        except StoreError as error:
            if not isinstance(error, FencedError):
                await super().save(fold._replace(rows=[]))
            raise


class ShowsHalfASave(MemoryReadStore):
    async def save(self, fold: Fold) -> None:
        if len(fold.rows) == 2 and fold.after:
            held = self._held[fold.table.read_model]
            held.rows.update({tuple(row[: len(fold.table.key)]): row for row in fold.rows[:1]})
            await asyncio.sleep(0)
        await super().save(fold)


class PromotesInTwoSteps(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table) -> Checkpoint:
        former = self._held.pop(live.read_model, None)
        await asyncio.sleep(0)
        if former is not None:
            self._held[live.read_model] = former
        return await super().promote(rebuilt, live)


class IgnoresStartAfter(MemoryReadStore):
    async def find(self, table: Table, find: Find) -> Sequence[Row]:
        return await super().find(table, dataclasses.replace(find, start_after=None))


class OrdersDecimalsAsText(MemoryReadStore):
    async def find(self, table: Table, find: Find) -> Sequence[Row]:
        rows = await super().find(table, find)
        kinds = {column.name: (at, column.kind) for at, column in enumerate(table.columns)}
        if not find.order_by or kinds[find.order_by[0].removeprefix("-")][1] is not ColumnKind.DECIMAL:
            return rows
        at = kinds[find.order_by[0].removeprefix("-")][0]
        return sorted(rows, key=lambda row: str(row[at] or ""), reverse=find.order_by[0].startswith("-"))


class ComparesDigits(MemoryReadStore):
    async def find(self, table: Table, find: Find) -> Sequence[Row]:
        rows = await super().find(table, find)
        names = [column.name for column in table.columns]
        return [row for row in rows if all(str(row[names.index(name)]) == str(v) for name, v in find.equals.items())]


class SearchesInsideWords(MemoryReadStore):
    async def search(self, table: Table, text: str, limit: int) -> Sequence[Row]:
        found = [row for row in self._rows(table).values() if text.lower() in f"{row[1]} {row[2]}".lower()]
        return found[:limit] if text.strip() else []


class SearchesRowsAsTheyWere(MemoryReadStore):
    def __init__(self) -> None:
        super().__init__()
        self._first: dict[Key, Row] = {}

    async def search(self, table: Table, text: str, limit: int) -> Sequence[Row]:
        rows = self._held[table.read_model].rows
        for key, row in rows.items():
            self._first.setdefault(key, row)
        now = dict(rows)
        try:
            rows.update({key: self._first[key] for key in now})
            return [now[row[:1]] for row in await super().search(table, text, limit)]
        finally:
            rows.update(now)


class Hangs(MemoryReadStore):
    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        await asyncio.Event().wait()
        return {}
