"""The projector: keeps what it holds of one read model at the head of the log.

An event that a handler can't take stops this read model alone: everything before it is saved, the state is `failed`,
and it is tried again with growing pauses. It is never skipped. All partitions that stand in the same worker's hands
stand with it; those that other workers hold go on, unless the event can't even be read or has no key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

import structlog

from twofold.application import Application
from twofold.errors import FencedError, TwofoldError, UnavailableError, UnfoldableEventError
from twofold.messages import RawEvent
from twofold.ports import Checkpoint, Clock, EventLog, Leased, Probe, ReadStore, Share
from twofold.read_model import ReadModelType
from twofold.runtime.cohorts import Cohort, Cohorts
from twofold.runtime.folding import Folder
from twofold.runtime.progress import Progress
from twofold.runtime.subscription import Subscription
from twofold.settings import Settings
from twofold.streams import START, Position

__all__ = ["Projector"]

_SAVE_POSITION_EVERY = 10_000
_GATHER_S = 0.004
"""Where events come all the time but not in crowds, let some gather: folding each page of a few costs as much as a page
of a hundred, and takes its time from the commands of the same process. After a quiet moment the first event is folded
at once, so this shows only under load."""
_LOOK_AGAIN_S = 60.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_LONGEST_OUTAGE_PAUSE_S = 1.0
"""A store that can't be reached comes back by itself, and then all that waits for it should go on soon."""

logger = structlog.get_logger("twofold.projector")


class Projector:
    """Folds the log into what it is told to `hold` of one read model, until it is stopped.

    `eager` is for read stores that other processes read: there the checkpoint is all that they know, so it is stored
    whenever the head is reached, also when no row was touched, and they tell how far the read model is. `on_news` is
    called when the store should be asked or told at once: another worker has taken over, or `error` (why this worker's
    last page could not be folded, "" when it could) has changed.
    """

    def __init__(
        self,
        app: Application,
        model: ReadModelType,
        log: EventLog,
        store: ReadStore,
        clock: Clock,
        probe: Probe,
        settings: Settings,
        *,
        progress: Progress,
        eager: bool,
        on_news: Callable[[], None],
    ) -> None:
        self.model, self.progress, self._eager, self._on_news = model, progress, eager, on_news
        self._log, self._clock, self._probe, self._settings = log, clock, probe, settings
        self._folder = Folder(model, model.table, app.codec, store)
        self._cohorts = Cohorts()
        self.error = ""
        self.taken_over = 0
        """Partitions that another worker took over while this one still folded them, since the start."""
        self._granted: Sequence[Share] | None = None
        self._resting: asyncio.Future[None] | None = None
        self._finishing = False
        self._tolerated = {model.table.fold_fingerprint}
        self._pause_s = _FIRST_PAUSE_S

    # --- what it holds ---

    @property
    def shares(self) -> tuple[Share, ...]:
        """The partitions that this process folds now."""
        return self._cohorts.shares

    @property
    def position(self) -> Position:
        """Everything up to here is folded in what is held; 0 when nothing is."""
        return self._cohorts.position or START

    def tolerate(self, checkpoint: Checkpoint) -> None:
        """Fold rows that the code of this checkpoint has made: they stood there at the start.

        That ends when there are rows of this very code. If others come in their place afterwards, then by the hand of
        another release or of an operator, and folding those too would mix what two codes make.
        """
        self._tolerated.add(checkpoint.fold_fingerprint)

    def fits(self, checkpoint: Checkpoint) -> bool:
        """Whether this code may go on folding the rows."""
        table = self.model.table
        same = checkpoint.fingerprint == table.fingerprint and len(checkpoint.positions) == table.partitions
        return same and checkpoint.fold_fingerprint in self._tolerated

    def is_current(self, checkpoint: Checkpoint) -> bool:
        """Whether this very code has made the rows."""
        return self.fits(checkpoint) and checkpoint.fold_fingerprint == self.model.table.fold_fingerprint

    def hold(self, leased: Leased) -> None:
        """Fold these shares from the next page on, and no others; none of them when other code must fold them."""
        if self.is_current(leased.checkpoint):
            self._tolerated = {self.model.table.fold_fingerprint}
        self._granted = leased.shares if self.fits(leased.checkpoint) else ()
        if self._resting is not None and self._is_called:
            self._resting.cancel()

    @property
    def _is_called(self) -> bool:
        """Whether there is a reason not to rest: to end, or other shares to hold."""
        return self._finishing or (self._granted is not None and _epochs(self._granted) != _epochs(self.shares))

    def _take_up(self) -> None:
        """Between pages only: a page in work must not change hands."""
        if self._granted is not None and self._is_called:
            self._cohorts.hold(self._granted)
            self._show()
        self._granted = None

    # --- folding ---

    async def run(self) -> None:
        """Fold until told to `finish`. Whatever fails is logged, shown as the state, and tried again."""
        subscription, waited = self._subscribe(START), True
        while not self._finishing:
            try:
                self._take_up()
                found = self._cohorts.next()
                if found is None or self.progress.paused:
                    self._say("")
                    await self._rest(asyncio.sleep(_LOOK_AGAIN_S) if found is None else self.progress.not_paused())
                    continue
                cohort, until = found
                if subscription.after != cohort.position:
                    subscription = self._subscribe(cohort.position)
                page = await subscription.next_page(until)
                await self._fold(cohort, page, at_head=not subscription.was_full)
                subscription.moved_to(cohort.position)
                await self._pause(subscription, page, waited)
                waited = not page
            except Exception as error:
                await self._failed(error)

    async def _pause(self, subscription: Subscription, page: Sequence[RawEvent], waited: bool) -> None:
        if not page:
            await self._rest(subscription.wait())
        elif not waited and not subscription.was_full:
            await asyncio.sleep(_GATHER_S)
        else:
            await asyncio.sleep(0)  # a store that never suspends must not hold the event loop for a whole log

    async def _rest(self, sleep: Coroutine[Any, Any, None]) -> None:
        """Sleep so, or until there are other shares to hold."""
        if self._is_called:
            sleep.close()
            return
        self._resting = asyncio.ensure_future(sleep)
        try:
            await asyncio.wait([self._resting])
        finally:
            resting, self._resting = self._resting, None
            resting.cancel()
        if not resting.cancelled() and (error := resting.exception()) is not None:
            raise error

    def finish(self) -> None:
        """Let `run` end after the page that is in work."""
        self._finishing = True
        if self._resting is not None:
            self._resting.cancel()

    async def stop(self) -> None:
        """Save how far it has come, so that the next start reads nothing twice. After `run` has ended."""
        for cohort in self._cohorts.unsaved():
            try:
                await self._folder.save_position(cohort.shares, cohort.position)
            except TwofoldError as error:
                logger.warning("position-not-saved", read_model=self.model.name, error=str(error))
        self._cohorts.hold(())

    def _subscribe(self, after: Position) -> Subscription:
        return Subscription(self._log, after, page_size=self._settings.page_size, poll_s=self._settings.poll_s)

    async def _fold(self, cohort: Cohort, page: Sequence[RawEvent], *, at_head: bool) -> None:
        started = perf_counter()
        try:
            if page:
                await self._fold_all(cohort, page, at_head=at_head)
                self._probe.fold_done(self.model.name, page, cohort.shares, perf_counter() - started)
            elif self._eager:
                await self._save_position(cohort)
        except FencedError as error:
            logger.info("taken-over", read_model=self.model.name, error=str(error))
            self.taken_over += len(cohort.shares)
            self._cohorts.lost(cohort)
            self._granted = None  # whatever was granted meanwhile may be what was lost
            self._on_news()
            return
        self._pause_s = _FIRST_PAUSE_S
        self._say("")

    async def _fold_all(self, cohort: Cohort, page: Sequence[RawEvent], *, at_head: bool) -> None:
        """The page, or what comes before an event of it that can't be folded."""
        far = page[-1].position - cohort.stored_position > _SAVE_POSITION_EVERY
        try:
            await self._fold_page(cohort, page, save_always=far or (self._eager and at_head))
        except UnfoldableEventError as error:
            before = [stored for stored in page if stored.position < error.position]
            if before:
                await self._fold_page(cohort, before, save_always=True)
            raise

    async def _fold_page(self, cohort: Cohort, page: Sequence[RawEvent], *, save_always: bool) -> None:
        shares = await self._folder.fold(page, cohort.shares, save_always=save_always)
        self._cohorts.moved(cohort, page[-1].position, shares)
        self._show()

    async def _save_position(self, cohort: Cohort) -> None:
        """The head is reached by pages that touched no row, or by joining those who stood there."""
        if cohort.stored_position != cohort.position:
            shares = await self._folder.save_position(cohort.shares, cohort.position)
            self._cohorts.moved(cohort, cohort.position, shares)

    def _show(self) -> None:
        """Tell how far the rows are, if all of them are in this worker's hands."""
        if len(self.shares) == self.model.table.partitions and not self._eager:
            self.progress.moved_to(self.position)

    def _say(self, error: str) -> None:
        if error != self.error:
            self.error = error
            self._on_news()

    async def _failed(self, error: Exception) -> None:
        longest = _LONGEST_OUTAGE_PAUSE_S if isinstance(error, UnavailableError) else _LONGEST_PAUSE_S
        pause_s = min(longest, self._pause_s)
        logger.error("fold-failed", read_model=self.model.name, pause_s=pause_s, error=str(error))
        self.progress.failed(error)
        self._say(self.progress.error)
        await self._rest(self._clock.sleep(pause_s))
        self._pause_s = pause_s * 2


def _epochs(shares: Sequence[Share]) -> set[tuple[int, int]]:
    return {(share.partition, share.epoch) for share in shares}
