"""Keeps rows what this code makes of the log: those that other code has made are made anew.

Rows of other code that stand there at the start are rebuilt at once, which is what a deployment asks for. Rows that
other code puts in place later are left to it (an older release that was restarted, a newer one that takes over, an
operator who has rolled back) for as long as anybody folds them or they are paused: two releases that run side by side
must not undo each other's work, and a read model must not stand still for ever when one of them is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from twofold.errors import RebuildUnderWayError
from twofold.ports import Checkpoint, ReadStore
from twofold.runtime.projector import Projector

__all__ = ["Upkeep"]

_LOOKS_WITHOUT_HOLDER = 3
_LONGEST_PAUSE_S = 60.0

logger = structlog.get_logger("twofold.upkeep")


class Upkeep:
    """Looks at one read model once in every lease time, and rebuilds it when its rows are other code's."""

    def __init__(
        self, projector: Projector, store: ReadStore, rebuild: Callable[[str], Awaitable[int]], *, lease_s: float
    ) -> None:
        self._projector, self._store, self._rebuild = projector, store, rebuild
        self._name = projector.model.name
        self._lease_s = self.pause_s = lease_s
        self._replaced: str | None = None
        self._unfolded = 0

    async def run(self) -> None:
        """Look until cancelled."""
        first = True
        while True:
            try:
                found = (await self._store.checkpoints()).get(self._name)
                if first and found is not None:
                    self._replaced, first = _code(found), False
                if found is not None and self._is_due(found):
                    await self._make_anew()
                self.pause_s = self._lease_s
            except Exception as error:
                logger.error("rebuild-failed", read_model=self._name, error=str(error) or repr(error))
                self.pause_s = min(_LONGEST_PAUSE_S, 2 * self.pause_s)
            await asyncio.sleep(self.pause_s)

    def _is_due(self, found: Checkpoint) -> bool:
        if self._projector.is_current(found):
            self._replaced, self._unfolded = None, 0
            return False
        if _code(found) == self._replaced:
            return True
        self._unfolded = 0 if found.paused or any(found.holders) else self._unfolded + 1
        return self._unfolded >= _LOOKS_WITHOUT_HOLDER

    async def _make_anew(self) -> None:
        logger.info("rebuilding", read_model=self._name, reason="the code that folds it has changed")
        with suppress(RebuildUnderWayError):  # another process does it, or an operator
            position = await self._rebuild(self._name)
            logger.info("rebuilt", read_model=self._name, position=position)


def _code(checkpoint: Checkpoint) -> str:
    """Which code has made the rows."""
    return f"{checkpoint.fingerprint} {checkpoint.fold_fingerprint} {len(checkpoint.positions)}"
