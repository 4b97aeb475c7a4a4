"""How far read models have come that other processes fold: looked up in the store, as soon as anybody wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from twofold.ports import RowReader
from twofold.runtime.progress import Progress
from twofold.settings import Settings

__all__ = ["Watch"]

_UNASKED_S = 0.05
"""Between looks that nobody waits for: positions that answers carry may be so old."""
_AFTER_FAILURE_S = 0.1

logger = structlog.get_logger("twofold.watch")


class Watch:
    """Moves the progress of read models as their checkpoints move in the store."""

    def __init__(self, progress: Mapping[str, Progress], reader: RowReader, settings: Settings) -> None:
        self._progress, self._reader, self._poll_s = progress, reader, settings.poll_s
        self._wanted = asyncio.Event()
        for each in progress.values():
            each.on_wait = self._wanted.set

    async def run(self) -> None:
        """Look until cancelled.

        What was seen holds no longer once the store can't be asked: a server that crashed may come back with rows that
        are older, since folds don't wait for the disk. So whoever wants a position waits for the next look.
        """
        while True:
            try:
                await self._reader.wait(self._poll_s)
                await self._unless_wanted(_UNASKED_S)
                await self.look()
            except Exception as error:
                logger.warning("checkpoints-not-read", error=str(error) or repr(error))
                for progress in self._progress.values():
                    progress.forget()
                await asyncio.sleep(_AFTER_FAILURE_S)

    async def look(self) -> None:
        """Read the checkpoints now."""
        self._wanted.clear()
        found = await self._reader.checkpoints()
        for name, progress in self._progress.items():
            progress.follow(found.get(name))

    async def _unless_wanted(self, pause_s: float) -> None:
        if any(each.waited_for for each in self._progress.values()):
            return
        try:
            async with asyncio.timeout(pause_s):
                await self._wanted.wait()
        except TimeoutError:
            pass
