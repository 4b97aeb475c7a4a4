"""Read stores that lie, one lie each: what the contract must catch."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from twofold.errors import FencedError, StoreError
from twofold.ports import NOTHING_HELD, Checkpoint, Find, Fold, Held, Share
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.tables import ColumnKind, Key, Row, Table


class RowsWithoutCheckpoint(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        before = self._held[fold.table.read_model].shares
        moved = await super().save(fold)
        self._held[fold.table.read_model].shares = before
        return moved


class CheckpointWithoutRows(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        return await super().save(fold._replace(rows=[]))


class KeepsTheMovedSharesToItself(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        await super().save(fold)
        return fold.shares


class ChecksTheFenceAfterWriting(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        try:
            return await super().save(fold)
        except FencedError:
            held = self._held[fold.table.read_model]
            held.rows.update({tuple(row[: len(fold.table.key)]): row for row in fold.rows})
            raise


class _Forgiving(MemoryReadStore):
    """Brings the shares of a fold in line with those that it has, before it looks at them."""

    def forgiven(self, share: Share, stored: Share) -> Share:
        return share

    async def save(self, fold: Fold) -> Sequence[Share]:
        held = self._held.get(fold.table.read_model)
        stored = {share.partition: share for share in held.shares} if held else {}
        shares = [self.forgiven(share, stored.get(share.partition, share)) for share in fold.shares]
        return await super().save(fold._replace(shares=shares))


class IgnoresTheEpoch(_Forgiving):
    def forgiven(self, share: Share, stored: Share) -> Share:
        return share._replace(epoch=stored.epoch)


class IgnoresWhereThePageStarts(_Forgiving):
    def forgiven(self, share: Share, stored: Share) -> Share:
        return share._replace(position=stored.position)


class ChecksOnlyThePartitionsThatAreThere(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        there = {share.partition for share in self._held[fold.table.read_model].shares}
        return await super().save(fold._replace(shares=[share for share in fold.shares if share.partition in there]))


class SavesThePartitionsThatItCan(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        stored = self._held[fold.table.read_model].shares
        good = [share for share in fold.shares if share in stored]
        if good and len(good) < len(fold.shares):
            await super().save(fold._replace(shares=good))
        return await super().save(fold)


class SavesWithoutAShare(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        if not fold.shares:
            await super().save(fold._replace(shares=self._held[fold.table.read_model].shares))
        return await super().save(fold)


class MovesEveryPartition(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        moved = await super().save(fold)
        held = self._held[fold.table.read_model]
        held.shares = tuple(share._replace(position=fold.through) for share in held.shares)
        return moved


class HasOneCheckpointForAll(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        return await super().open(dataclasses.replace(table, partitions=1), restart=restart)


class UsesEpochsAgain(MemoryReadStore):
    def _next_epoch(self) -> int:
        return 1


class ForgetsTheEpochsOfWhatIsGone(MemoryReadStore):
    def _next_epoch(self) -> int:
        return 1 + max((share.epoch for held in self._held.values() for share in held.shares), default=0)


class ForgetsDeletions(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        return await super().save(fold._replace(deleted=[]))


class MakesAnewWhatOtherCodeMade(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        held = self._held.get(table.read_model)
        changed = held is not None and held.table.fingerprint != table.fingerprint
        return await super().open(table, restart=restart or changed)


class TakesOverWhatOtherCodeMade(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        held = self._held.get(table.read_model)
        if held is not None:
            held.table = table
        return await super().open(table, restart=restart)


class OpensUnderANewEpoch(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        held = self._held.get(table.read_model)
        if held is not None and not restart:
            epoch = self._next_epoch()
            held.shares = tuple(share._replace(epoch=epoch) for share in held.shares)
        return await super().open(table, restart=restart)


class KeepsRowsAtARestart(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        held = self._held.get(table.read_model)
        checkpoint = await super().open(table, restart=restart)
        if held is not None and table.fingerprint == held.table.fingerprint:
            self._held[table.read_model].rows = held.rows
        return checkpoint


class KeepsSharesAtARestart(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        held = self._held.get(table.read_model)
        checkpoint = await super().open(table, restart=restart)
        if held is not None and len(held.shares) == table.partitions:
            now = self._held[table.read_model]
            now.shares = tuple(
                share._replace(epoch=old.epoch) for share, old in zip(now.shares, held.shares, strict=True)
            )
        return checkpoint


class TakesRowsOfOtherColumns(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        held = self._held.get(fold.table.read_model)
        if held is not None:
            fold = fold._replace(table=dataclasses.replace(fold.table, fingerprint=held.table.fingerprint))
        return await super().save(fold)


class ForgetsPauses(MemoryReadStore):
    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        return (await super().open(table, restart=restart))._replace(paused=False)


class PromotesUnpaused(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        checkpoint = await super().promote(rebuilt, live, held)
        self._held[live.read_model].paused = False
        return checkpoint._replace(paused=False)


class ThrowsTheFormerAway(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        checkpoint = await super().promote(rebuilt, live, held)
        await self.drop(live.aside("former").read_model)
        return checkpoint


class KeepsTheFirstFormer(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        first = self._held.get(live.aside("former").read_model)
        checkpoint = await super().promote(rebuilt, live, held)
        if first is not None:
            self._put(first)
        return checkpoint


class LosesWhatATakenBackPromotionReplaced(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        checkpoint = await super().promote(rebuilt, live, held)
        if rebuilt.read_model == live.aside("former").read_model:
            await self.drop(rebuilt.read_model)
        return checkpoint


class PromotesUnderTheGivenFingerprints(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        checkpoint = await super().promote(rebuilt, live, held)
        self._held[live.read_model].table = live
        return checkpoint._replace(fingerprint=live.fingerprint, fold_fingerprint=live.fold_fingerprint)


class PromotesWithoutANewEpoch(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        shares = self._held[rebuilt.read_model].shares
        checkpoint = await super().promote(rebuilt, live, held)
        self._held[live.read_model].shares = shares
        return checkpoint


class KeepsTheFormerWithoutANewEpoch(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        target = self._held.get(live.read_model)
        checkpoint = await super().promote(rebuilt, live, held)
        if target is not None:
            self._held[live.aside("former").read_model].shares = target.shares
        return checkpoint


class DropsNothing(MemoryReadStore):
    async def drop(self, read_model: str) -> None:
        pass


class DropsWhatStandsAside(MemoryReadStore):
    async def drop(self, read_model: str) -> None:
        for name in [name for name in self._held if name.startswith(read_model)]:
            await super().drop(name)


class MindsDroppingNothing(MemoryReadStore):
    async def drop(self, read_model: str) -> None:
        self._required(read_model)
        await super().drop(read_model)


class ShowsTheCheckpointBeforeTheRows(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        moved = await super().save(fold._replace(rows=[], deleted=[]))
        await asyncio.sleep(0)
        await super().save(fold._replace(shares=moved))
        return moved


class NeverWakes(MemoryReadStore):
    async def wait(self, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)


class WakesOnlyWhoSleeps(MemoryReadStore):
    async def wait(self, timeout_s: float) -> None:
        await self._moves.wait(0)
        await self._moves.wait(timeout_s)


class NeverSleeps(MemoryReadStore):
    async def wait(self, timeout_s: float) -> None:
        await asyncio.sleep(0)


class _Changing(MemoryReadStore):
    def changed(self, value: Any) -> Any:
        return value

    async def save(self, fold: Fold) -> Sequence[Share]:
        return await super().save(
            fold._replace(rows=[tuple(self.changed(value) for value in row) for row in fold.rows])
        )


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
    async def save(self, fold: Fold) -> Sequence[Share]:
        try:
            return await super().save(fold)
        except StoreError as error:
            if not isinstance(error, FencedError):
                await super().save(fold._replace(rows=[]))
            raise


class ShowsHalfASave(MemoryReadStore):
    async def save(self, fold: Fold) -> Sequence[Share]:
        if len(fold.rows) == 2 and fold.shares[0].position:
            held = self._held[fold.table.read_model]
            held.rows.update({tuple(row[: len(fold.table.key)]): row for row in fold.rows[:1]})
            await asyncio.sleep(0)
        return await super().save(fold)


class PromotesForWhoeverAsks(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        return await super().promote(rebuilt, live)


class PromotesInTwoSteps(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        former = self._held.pop(live.read_model, None)
        await asyncio.sleep(0)
        if former is not None:
            self._held[live.read_model] = former
        return await super().promote(rebuilt, live, held)


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
