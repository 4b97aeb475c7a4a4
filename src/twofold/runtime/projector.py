"""The projector: keeps one read model at the head of the log.

An event that a handler can't take stops this read model alone: everything before it is saved, the state is `failed`,
and it is tried again with growing pauses. It is never skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

import structlog

from twofold.application import Application
from twofold.errors import FencedError, TwofoldError, UnfoldableEventError
from twofold.messages import RawEvent
from twofold.ports import Checkpoint, Clock, EventLog, Probe, ReadStore
from twofold.read_model import ReadModelType
from twofold.runtime.folding import Folder
from twofold.runtime.progress import Progress
from twofold.runtime.subscription import Subscription
from twofold.settings import Settings

__all__ = ["Projector"]

_SAVE_POSITION_EVERY = 10_000
_GATHER_S = 0.004
"""Where events come all the time but not in crowds, let some gather: folding each page of a few costs as much as a page
of a hundred, and takes its time from the commands of the same process. After a quiet moment the first event is folded
at once, so this shows only under load."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0

logger = structlog.get_logger("twofold.projector")


class Projector:
    """Folds the log into one read model until it is stopped. While `turn` is held, the read model stands still."""

    def __init__(
        self,
        app: Application,
        model: ReadModelType,
        log: EventLog,
        store: ReadStore,
        clock: Clock,
        probe: Probe,
        settings: Settings,
    ) -> None:
        self.model, self.progress = model, Progress(model.name)
        self._log, self._store, self._clock, self._probe, self._settings = log, store, clock, probe, settings
        self.folder = Folder(model, model.table, app.codec, store)
        self.turn = asyncio.Lock()
        self._pause_s = _FIRST_PAUSE_S

    async def open(self) -> bool:
        """Take the read model over; True when the code that folds it is not the code that folded it."""
        stored = (await self._store.checkpoints()).get(self.model.name)
        fingerprint = await self.folder.open()
        self.progress.moved_to(self.folder.position)
        if stored is not None and stored.paused:
            self.progress.pause()
        return fingerprint != self.model.table.fold_fingerprint

    async def run(self) -> None:
        """Fold until cancelled. Whatever fails is logged, shown as the state, and tried again."""
        subscription, waited = self._subscribe(), True
        while True:
            try:
                await self.progress.not_paused()
                async with self.turn:
                    if subscription.after != self.folder.position:
                        subscription = self._subscribe()
                    page = await subscription.next_page()
                    if page:
                        await self._fold(page)
                        subscription.moved_to(self.folder.position)
                if not page:
                    await subscription.wait()
                elif not waited and not subscription.was_full:
                    await asyncio.sleep(_GATHER_S)
                else:
                    await asyncio.sleep(0)  # a store that never suspends must not hold the event loop for a whole log
                waited = not page
            except FencedError as error:
                logger.error("fenced", read_model=self.model.name, error=str(error))
                self.progress.failed(error)
                return
            except Exception as error:
                await self._failed(error)

    def take_over(self, checkpoint: Checkpoint) -> None:
        """Go on from the checkpoint, whose rows have taken the place of the former ones. Called in a `turn`."""
        self.folder.stand_at(checkpoint)
        self.progress.moved_to(checkpoint.position)

    async def stop(self) -> None:
        """Save how far it has come, so that the next start reads nothing twice."""
        async with self.turn:
            try:
                await self.folder.save_position()
            except TwofoldError as error:
                logger.warning("position-not-saved", read_model=self.model.name, error=str(error))

    def _subscribe(self) -> Subscription:
        size, poll_s = self._settings.page_size, self._settings.poll_s
        return Subscription(self._log, self.folder.position, page_size=size, poll_s=poll_s)

    async def _fold(self, page: Sequence[RawEvent]) -> None:
        started = perf_counter()
        far = page[-1].position - self.folder.stored_position > _SAVE_POSITION_EVERY
        try:
            await self.folder.fold(page, save_always=far)
        except UnfoldableEventError as error:
            before = [stored for stored in page if stored.position < error.position]
            if before:
                await self.folder.fold(before, save_always=True)
                self.progress.moved_to(self.folder.position)
            raise
        self._probe.fold_done(self.model.name, len(page), perf_counter() - started)
        self._pause_s = _FIRST_PAUSE_S
        self.progress.moved_to(self.folder.position)

    async def _failed(self, error: Exception) -> None:
        logger.error("fold-failed", read_model=self.model.name, pause_s=self._pause_s, error=str(error))
        self.progress.failed(error)
        await self._clock.sleep(self._pause_s)
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
