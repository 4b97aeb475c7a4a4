import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from tests.unit.runtime.parts import app, eventually, until
from twofold import Settings
from twofold.errors import StoreUnavailableError
from twofold.ports import Checkpoint
from twofold.runtime.progress import Progress
from twofold.runtime.watch import Watch
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.streams import Position

TABLE = app.read_models["Sales"].table


class Reader(MemoryReadStore):
    """A reader of checkpoints that the test writes; it wakes the watch only when told so."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, Checkpoint] = {}
        self.looks = 0
        self.fault: Exception | None = None
        self.woken = asyncio.Event()

    def move(self, position: int, error: str = "", *, wake: bool = True) -> None:
        self.stored["Sales"] = Checkpoint("Sales", (Position(position),), TABLE.fingerprint, "", error=error)
        if wake:
            self.woken.set()

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        self.looks += 1
        if self.fault is not None:
            raise self.fault
        return dict(self.stored)

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.woken.wait()
        except TimeoutError:
            pass
        self.woken.clear()


class Parts:
    def __init__(self, poll_s: float = 60) -> None:
        self.reader, self.progress = Reader(), Progress(TABLE)
        self.watch = Watch({"Sales": self.progress}, self.reader, Settings(poll_s=poll_s))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.watch.run())
        try:
            yield
            assert not task.done(), "it looks until it is cancelled"
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_one_look_tells_all_that_the_store_knows() -> None:
    parts = Parts()
    await parts.watch.look()
    assert parts.progress.state == "waiting"
    parts.reader.move(7, error="by zero")
    await parts.watch.look()
    assert (parts.progress.position, parts.progress.state, parts.progress.error) == (7, "failed", "by zero")
    parts.reader.move(8)
    await parts.watch.look()
    assert (parts.progress.position, parts.progress.state) == (8, "running")


async def test_who_waits_is_told_at_the_next_move() -> None:
    parts = Parts()
    async with parts.running():
        waiting = asyncio.create_task(parts.progress.reached(3, 10))
        for position in (1, 2, 3):
            await until(lambda: not parts.reader.woken.is_set())
            parts.reader.move(position)
        assert await waiting


async def test_who_begins_to_wait_after_the_move_is_told_too() -> None:
    """The watch takes its time while nobody waits, and not when somebody begins to."""
    parts = Parts()
    async with parts.running():
        parts.reader.move(5)
        for wanted in range(1, 6):
            assert await parts.progress.reached(wanted, 10)
        assert parts.reader.looks <= 2


async def test_a_move_that_nobody_told_of_is_seen_after_a_while() -> None:
    parts = Parts(poll_s=0.01)
    async with parts.running():
        waiting = asyncio.create_task(parts.progress.reached(3, 10))
        parts.reader.move(3, wake=False)
        assert await waiting


async def test_many_moves_that_nobody_waits_for_cost_few_looks() -> None:
    parts = Parts()
    async with parts.running():
        for position in range(1, 200):
            parts.reader.move(position)
            await asyncio.sleep(0)
        assert parts.reader.looks <= 2

        async def is_seen() -> bool:
            return parts.progress.position == 199

        await eventually(is_seen)


async def test_a_store_that_cannot_be_asked_is_asked_again() -> None:
    for fault in (StoreUnavailableError("read store", "the server is down"), OSError("of the driver")):
        parts = Parts(poll_s=0.01)
        parts.reader.fault = fault
        with capture_logs() as logs:
            async with parts.running():
                await until(lambda found=logs: found)
                waiting = asyncio.create_task(parts.progress.reached(3, 10))
                parts.reader.move(3)
                parts.reader.fault = None
                assert await waiting
        assert logs[0]["event"] == "checkpoints-not-read"
