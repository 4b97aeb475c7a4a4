"""Rebuild a read model from position 1 beside the live one, and switch when it has caught up.

Queries are answered from the old rows until the switch, which is one transaction; the live rows go on until the very
last stretch. A rebuild that was killed goes on where its checkpoint stands, if it is the same code that does so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import NamedTuple

import structlog

from twofold.codec import EventCodec
from twofold.errors import FencedError, RebuildUnderWayError, StoreError, TwofoldError, UnknownReadModelError
from twofold.ports import Checkpoint, EventLog, Find, Leases, ReadStore, RowReader, Share
from twofold.read_model import ReadModelType
from twofold.runtime.cohorts import Cohort
from twofold.runtime.folding import Folder
from twofold.runtime.subscription import Subscription
from twofold.settings import Settings
from twofold.streams import Position
from twofold.tables import Key, Row, Table

__all__ = ["Difference", "Rebuilder"]

_SAVE_EVERY = 20_000
_NEAR = 2_000
"""Most events that may be left to fold when the live rows are told to stand still; no more than a page."""
_COMPARED_AT_ONCE = 1_000

logger = structlog.get_logger("twofold.rebuild")


class Difference(NamedTuple):
    """A key whose live row is not what a fold of the log makes; None where there is no row."""

    key: Key
    live: Row | None
    rebuilt: Row | None


class Rebuilder:
    """Makes one read model's rows anew. `on_progress(position, head)` is called after every page."""

    def __init__(
        self,
        model: ReadModelType,
        codec: EventCodec,
        log: EventLog,
        store: ReadStore,
        leases: Leases,
        settings: Settings,
        *,
        holder: str,
        on_progress: Callable[[int, int], None] = lambda position, head: None,
    ) -> None:
        self._model, self._live, self._side = model, model.table, model.table.aside("rebuild")
        self._log, self._store, self._leases, self._settings = log, store, leases, settings
        self._folder = Folder(model, self._side, codec, store)
        self._holder, self._on_progress = f"{holder}/rebuild", on_progress
        self._near = min(_NEAR, settings.page_size)
        self._renewed_at = 0.0
        self._held_live: Sequence[Share] = ()

    async def rebuild(self) -> int:
        """Fold the whole log anew and put the rows in the live ones' place; returns the position reached.

        RebuildUnderWayError when another process does it. Whatever fails leaves the live rows as they are.
        """
        async with self._letting_go():
            cohort = await self._open(await self._log.head())
            await self._fold_until_near(cohort, self._log.head)
            furthest = max(*await self._hold_live(), await self._log.head())
            await self._fold_to(cohort, [furthest] * self._side.partitions)
            # A process that stood still for a while may have lost everything, and is refused then
            held = {self._side.read_model: cohort.shares, self._live.read_model: self._held_live}
            await self._store.promote(self._side, self._live, held)
            return cohort.position

    async def compare(self, reader: RowReader) -> AsyncGenerator[Difference]:
        """Fold the whole log aside and yield the rows that differ. The live rows stand still while rows are compared,
        and what was folded aside is dropped at the end. Close it (`contextlib.aclosing`) to leave early.

        RebuildUnderWayError when another process rebuilds or compares it.
        """
        async with self._letting_go():
            cohort = await self._open(await self._live_position())
            try:
                await self._fold_until_near(cohort, self._live_position)
                reached = await self._hold_live()
                if min(reached) < cohort.position:
                    raise FencedError("read store", f"the rows of {self._live.read_model} were replaced", "try again")
                await self._fold_to(cohort, reached)
                async for difference in self._differences(reader):
                    yield difference
            finally:
                if await self._leases.seize(self._holder, self._side.read_model, self._settings.lease_s):
                    await self._store.drop(self._side.read_model)  # it is still this one's, and nobody else's rebuild

    async def roll_back(self) -> int:
        """Put the former rows back in the place of those that a rebuild has made; returns where they stand.

        They go on from there, if code that folds them runs. What they lack is not waited for: a query that asks for a
        position in this very moment may be answered from rows that are older.
        """
        former = self._live.aside("former")
        found = (await self._store.checkpoints()).get(former.read_model)
        if found is None:
            raise UnknownReadModelError(
                "read store", f"it keeps no former rows of {self._live.read_model}", "rebuild it"
            )
        async with self._letting_go():
            name = self._live.read_model
            live = await self._leases.seize(self._holder, name, self._settings.lease_s, force=True)
            return (await self._store.promote(former, self._live, {name: live})).position

    # --- folding aside ---

    @asynccontextmanager
    async def _letting_go(self) -> AsyncGenerator[None]:
        """Whatever becomes of it, the live rows go on afterwards."""
        try:
            yield
        finally:
            try:
                await self._leases.release(self._holder)
            except TwofoldError as error:
                logger.warning("leases-not-released", holder=self._holder, error=str(error))

    async def _open(self, end: Position) -> Cohort:
        """Where to begin: at a former attempt's checkpoint if this code has made it and it is not beyond the end,
        else at the start."""
        found = await self._store.open(self._side)
        shares = await self._seized()
        if not self._is_own(found) or len({share.position for share in shares}) > 1 or shares[0].position > end:
            await self._store.open(self._side, restart=True)
            shares = await self._seized()
        return Cohort(shares[0].position, shares)

    async def _seized(self) -> Sequence[Share]:
        shares = await self._leases.seize(self._holder, self._side.read_model, self._settings.lease_s)
        if not shares:
            remedy = f"wait until that is done, or for {self._settings.lease_s} seconds if that process was killed"
            raise RebuildUnderWayError(self._live.read_model, "another process rebuilds it", remedy)
        self._renewed_at = monotonic()
        return shares

    def _is_own(self, found: Checkpoint) -> bool:
        own = self._side
        same = (found.fingerprint, found.fold_fingerprint) == (own.fingerprint, own.fold_fingerprint)
        return same and len(found.positions) == own.partitions

    async def _fold_until_near(self, cohort: Cohort, end: Callable[[], Awaitable[Position]]) -> None:
        """Fold beside the live rows until little is left, which under load is never nothing."""
        goal = await end()
        subscription = self._subscribe(cohort)
        while goal - cohort.position > self._near and await self._fold_next(cohort, subscription, goal):
            if goal - cohort.position <= self._near:
                goal = await end()

    async def _fold_to(self, cohort: Cohort, goals: Sequence[Position]) -> None:
        """Fold each partition to its goal; in the end the cohort is those that go furthest."""
        subscription = self._subscribe(cohort)
        for goal in sorted(set(goals)):
            cohort.shares = tuple(share for share in cohort.shares if goals[share.partition] >= goal)
            while cohort.position < goal and await self._fold_next(cohort, subscription, goal):
                pass
            if cohort.stored_position != cohort.position:
                cohort.shares = tuple(await self._folder.save_position(cohort.shares, cohort.position))

    def _subscribe(self, cohort: Cohort) -> Subscription:
        return Subscription(
            self._log, cohort.position, page_size=self._settings.page_size, poll_s=self._settings.poll_s
        )

    async def _live_position(self) -> Position:
        """How far the live rows have come in every partition. StoreError when they can't be compared."""
        found = await self._store.open(self._live)
        if found.fingerprint != self._live.fingerprint or len(found.positions) != self._live.partitions:
            reason = f"the live rows of {self._live.read_model} have the columns or partitions of other code"
            raise StoreError("read store", reason, "rebuild instead of comparing")
        return found.position

    async def _hold_live(self) -> Sequence[Position]:
        """Make the live rows stand still; returns how far each of their partitions has come."""
        await self._store.open(self._live)
        name, lease_s = self._live.read_model, self._settings.lease_s
        self._held_live = await self._leases.seize(self._holder, name, lease_s, force=True)
        return [share.position for share in sorted(self._held_live)]

    async def _fold_next(self, cohort: Cohort, subscription: Subscription, until: Position) -> bool:
        page = await subscription.next_page(until)
        if not page:
            return False
        await self._renew()
        through = page[-1].position
        far = through - cohort.stored_position > _SAVE_EVERY
        cohort.shares = tuple(await self._folder.fold(page, cohort.shares, save_always=far))
        cohort.position = through
        subscription.moved_to(through)
        self._on_progress(through, until)
        await asyncio.sleep(0)
        return True

    async def _renew(self) -> None:
        """Keep the leases, at a third of their time."""
        if monotonic() - self._renewed_at < self._settings.lease_s / 3:
            return
        self._renewed_at = monotonic()
        names = [self._side.read_model, self._live.read_model] if self._held_live else [self._side.read_model]
        for name in names:
            if not await self._leases.seize(self._holder, name, self._settings.lease_s):
                raise self._taken_over(name)

    def _taken_over(self, name: str) -> FencedError:
        return FencedError("read store", f"another process has taken {name} over", "rebuild again")

    # --- comparing ---

    async def _differences(self, reader: RowReader) -> AsyncGenerator[Difference]:
        async for rows in self._pages(reader, self._live):
            rebuilt = await reader.get(self._side, list(rows))
            for key, row in rows.items():
                if row != rebuilt.get(key):
                    yield Difference(key, row, rebuilt.get(key))
        async for rows in self._pages(reader, self._side):
            live = await reader.get(self._live, list(rows))
            for key in rows.keys() - live.keys():
                yield Difference(key, None, rows[key])

    async def _pages(self, reader: RowReader, table: Table) -> AsyncGenerator[dict[Key, Row]]:
        """A table's rows by their keys, in pages."""
        names = [column.name for column in table.columns]
        key_at = [names.index(name) for name in table.key]
        last: Key | None = None
        while found := await reader.find(table, Find({}, (), _COMPARED_AT_ONCE, last)):
            await self._renew()
            rows = {tuple([row[at] for at in key_at]): row for row in found}
            yield rows
            last = next(reversed(rows))
