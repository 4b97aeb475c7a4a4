"""Which partitions of which read models this process folds: asked of the store again and again.

Workers that come, go or die are noticed at the next look. Losing a share needs no agreement: the fence keeps a stale
worker's page out, whatever that worker believes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from twofold.errors import CheckpointAheadError, TwofoldError
from twofold.ports import Checkpoint, EventLog, Leases, ReadStore
from twofold.runtime.projector import Projector
from twofold.settings import Settings
from twofold.streams import Position

__all__ = ["Partitions"]

_LONGEST_INTERVAL_S = 1.0

logger = structlog.get_logger("twofold.partitions")


class Partitions:
    """This worker's leases on everything that its projectors can fold.

    With `follows` the progress of the read models is taken from the store too, for want of anything quicker.
    """

    def __init__(
        self,
        projectors: Mapping[str, Projector],
        store: ReadStore,
        leases: Leases,
        settings: Settings,
        *,
        holder: str,
        follows: bool,
    ) -> None:
        self._projectors, self._store, self._leases = projectors, store, leases
        self._holder, self._lease_s, self._follows = holder, settings.lease_s, follows
        self._interval_s = min(_LONGEST_INTERVAL_S, settings.lease_s / 3)
        self._at_once = asyncio.Event()
        self._asking = asyncio.Lock()
        self._unwanted: set[str] = set()

    async def open(self, log: EventLog) -> None:
        """Make tables that are missing, and take a first share. CheckpointAheadError when they are beyond the log."""
        found: dict[str, Checkpoint] = {}
        for name, projector in self._projectors.items():
            found[name] = await self._store.open(projector.model.table)
        head = await log.head()  # asked after the checkpoints, which other processes move on
        for name, checkpoint in found.items():
            if max(checkpoint.positions) > head:
                raise _ahead(name, max(checkpoint.positions), head)
            projector = self._projectors[name]
            projector.tolerate(checkpoint)
            projector.progress.follow(checkpoint)
            if not projector.fits(checkpoint):  # a share of it would only be taken from those who can fold it
                self._unwanted.add(name)
        await self.renew()

    def renew_soon(self) -> None:
        """Look at once and not after the interval: something has changed."""
        self._at_once.set()

    async def run(self) -> None:
        """Renew until cancelled. While the store can't be asked, the projectors go on with what they hold."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._at_once.wait()
            except TimeoutError:
                pass
            self._at_once.clear()
            await self.try_to_renew()

    async def try_to_renew(self) -> None:
        """Renew now; when that fails, `run` does it later."""
        try:
            await self.renew()
        except Exception as error:
            logger.warning("leases-not-renewed", holder=self._holder, error=str(error) or repr(error))

    async def renew(self) -> None:
        """Say what this worker can fold, and hand its shares to the projectors."""
        async with self._asking:
            await self._look_at_unwanted()
            wanted = {name: each.error for name, each in self._projectors.items() if name not in self._unwanted}
            leased = await self._leases.lease(self._holder, wanted, self._lease_s)
            for name in wanted:
                if name not in leased:
                    await self._store.open(self._projectors[name].model.table)  # dropped by an operator
                    self.renew_soon()
                    continue
                self._tell(name, leased[name].checkpoint)
                self._projectors[name].hold(leased[name])
                if not self._projectors[name].fits(leased[name].checkpoint):
                    logger.info("left-to-other-code", read_model=name)
                    self._unwanted.add(name)
                    self.renew_soon()

    async def _look_at_unwanted(self) -> None:
        """Rows that other code folds are not asked for, until there are rows of this code in their place, or none."""
        if not self._unwanted:
            return
        stored = await self._store.checkpoints()
        for name in sorted(self._unwanted):
            checkpoint = stored.get(name)
            if checkpoint is None or self._projectors[name].fits(checkpoint):
                self._unwanted.remove(name)
            else:
                self._tell(name, checkpoint)

    async def set_paused(self, name: str, paused: bool) -> None:
        """Let the read model stand still, or go on: here at once, elsewhere at the next look."""
        async with self._asking:  # what was asked before must not be told afterwards
            await self._store.set_paused(name, paused)
            self._pause(name, paused)

    async def release(self) -> None:
        """Give everything back, for others to take at once."""
        try:
            await self._leases.release(self._holder)
        except TwofoldError as error:
            logger.warning("leases-not-released", holder=self._holder, error=str(error))

    def _tell(self, name: str, checkpoint: Checkpoint) -> None:
        progress = self._projectors[name].progress
        if self._follows:
            progress.follow(checkpoint)
        else:
            progress.look_at(checkpoint)
        self._pause(name, checkpoint.paused)

    def _pause(self, name: str, paused: bool) -> None:
        progress = self._projectors[name].progress
        if paused:
            progress.pause()
        else:
            progress.resume()


def _ahead(name: str, position: Position, head: Position) -> CheckpointAheadError:
    return CheckpointAheadError(
        "read store",
        f"{name} has folded up to position {position}, the event log ends at {head}",
        f'they belong to different histories: restore the log, or run "twofold read-models rebuild {name}"',
    )
