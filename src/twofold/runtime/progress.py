"""How far a read model has come, for those who wait for a position, and for those who watch."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable

from twofold.errors import TwofoldError
from twofold.ports import Checkpoint
from twofold.streams import Position
from twofold.tables import Table

__all__ = ["Progress"]


class Progress:
    """The position that a read model's rows reflect, its state, and the queries that wait for more.

    `error` says why the last page could not be folded; it is empty once one was. `hindrance` says why the stored rows
    are none for this code; it is empty when they are. `on_wait` is called when somebody begins to wait.
    """

    def __init__(self, table: Table) -> None:
        self.read_model = table.read_model
        self.position = Position(0)
        self.error = ""
        self.rebuilding = False
        self.hindrance = ""
        self.on_wait: Callable[[], None] = lambda: None
        self._fingerprint = table.fingerprint
        self._going = asyncio.Event()
        self._going.set()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @property
    def state(self) -> str:
        """ "paused", "rebuilding", "failed", "waiting" (for rows that this code can use) or "running"."""
        if not self._going.is_set():
            return "paused"
        if self.rebuilding:
            return "rebuilding"
        if self.error:
            return "failed"
        return "waiting" if self.hindrance else "running"

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for a position."""
        return bool(self._waiting)

    def look_at(self, checkpoint: Checkpoint | None) -> None:
        """Note whether the stored rows, as this checkpoint describes them, can be read by this code."""
        if checkpoint is None:
            self.hindrance = "no projector has made its table yet"
        elif checkpoint.fingerprint != self._fingerprint:
            self.hindrance = "the stored rows have the columns of other code"
        else:
            self.hindrance = ""

    def follow(self, checkpoint: Checkpoint | None) -> None:
        """Take all from the store: others fold the read model too."""
        self.look_at(checkpoint)
        if checkpoint is not None:
            self.moved_to(checkpoint.position)
            self.error = checkpoint.error

    def moved_to(self, position: Position) -> None:
        """The rows reflect everything up to the position."""
        self.position, self.error = position, ""
        while self._waiting and self._waiting[0][0] <= position:
            _, _, future = self._waiting.pop(0)
            if not future.done():
                future.set_result(None)

    def forget(self) -> None:
        """Where the rows stand is not known any more: whoever wants a position waits until it is."""
        self.position = Position(0)

    def failed(self, error: Exception) -> None:
        self.error = str(error) if isinstance(error, TwofoldError) else f"{type(error).__name__}: {error}"

    def pause(self) -> None:
        self._going.clear()

    def resume(self) -> None:
        self._going.set()

    @property
    def paused(self) -> bool:
        return not self._going.is_set()

    async def not_paused(self) -> None:
        await self._going.wait()

    async def reached(self, position: int, timeout_s: float) -> bool:
        """Wait until the rows reflect the position, at most so many seconds; False when they don't then."""
        if self.position >= position:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (position, id(future), future)
        bisect.insort(self._waiting, waiter)
        self.on_wait()
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return self.position >= position
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return True
