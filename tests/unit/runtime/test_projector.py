import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Broken,
    Log,
    Sales,
    Seen,
    Stocked,
    Store,
    app,
    filled,
    idle,
    leased,
    stream,
    until,
)
from twofold import Application, Event, ReadModel, Settings, on
from twofold.errors import StoreUnavailableError
from twofold.ports import Commit, Fold
from twofold.runtime.partitions import Partitions
from twofold.runtime.progress import Progress
from twofold.runtime.projector import Projector
from twofold.streams import Position
from twofold.testing import TestClock

BOUGHT = Bought(sku="mug", buyer="ann")


class Parts:
    """A projector of sales with everything around it."""

    def __init__(
        self,
        log: Log | None = None,
        store: Store | None = None,
        application: Application = app,
        settings: Settings | None = None,
        *,
        holder: str = "a worker",
        eager: bool = False,
    ) -> None:
        self.log, self.store, self.app = log or Log(), store or Store(), application
        self.clock, self.probe = TestClock(), Seen()
        model = application.read_models["Sales"]
        settings = settings or Settings()
        self.progress = Progress(model.table)
        self.projector = Projector(
            application,
            model,
            self.log,
            self.store,
            self.clock,
            self.probe,
            settings,
            progress=self.progress,
            eager=eager,
            on_news=lambda: self.partitions.renew_soon(),
        )
        self.partitions = Partitions(
            {"Sales": self.projector}, self.store, self.store, settings, holder=holder, follows=eager
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        await self.partitions.open(self.log)
        tasks = [asyncio.create_task(each.run()) for each in (self.partitions, self.projector)]
        try:
            yield
            assert not any(task.done() for task in tasks), "a projector runs until it is stopped"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.projector.stop()
            await self.partitions.release()

    async def reached(self, position: int) -> None:
        assert await self.progress.reached(position, 10), (self.progress.position, self.progress.error)

    async def row(self, sku: str = "mug") -> Any:
        model = self.projector.model
        found = await self.store.get(model.table, [(sku,)])
        return model.from_row(found[(sku,)]) if found else None

    async def checkpoint(self) -> int:
        return (await self.store.checkpoints())["Sales"].position


async def test_it_folds_what_is_there_and_what_comes() -> None:
    parts = Parts()
    await filled(parts.log, Stocked(sku="mug", units=5), BOUGHT)
    async with parts.running():
        await parts.reached(2)
        await filled(parts.log, BOUGHT)
        await parts.reached(3)
        assert await parts.row() == Sales(sku="mug", units=2, buyers=["ann", "ann"])
        assert parts.progress.state == "running"
    assert sum(events for _, events in parts.probe.folds) == 3


async def test_it_goes_on_where_it_stopped_and_reads_nothing_twice() -> None:
    parts = Parts()
    await filled(parts.log, BOUGHT, BOUGHT, Stocked(sku="mug", units=5))
    async with parts.running():
        await parts.reached(3)
    assert await parts.checkpoint() == 3, "the position of pages without rows is stored when it stops"
    again = Parts(parts.log, parts.store)
    parts.log.reads.clear()
    await filled(parts.log, BOUGHT)
    async with again.running():
        await again.reached(4)
    assert min(after for after, _ in parts.log.reads) == 3
    assert (await again.row()).units == 3


async def test_pages_without_rows_are_stored_now_and_then() -> None:
    parts = Parts(settings=Settings(page_size=5_000))
    stocked = app.codec.encode(Stocked(sku="mug", units=1))[0]
    for start in range(0, 12_000, 4_000):
        await parts.log.append([Commit(stream("mug"), start, (stocked,) * 4_000, b"{}", 0)])
    async with parts.running():
        await parts.reached(12_000)
        assert await parts.checkpoint() > 10_000
        assert len(parts.store.folds) == 1


async def test_an_event_that_cannot_be_folded_stops_it_before_that_event_and_is_never_skipped() -> None:
    parts = Parts()
    await filled(parts.log, BOUGHT, BOUGHT, Broken(sku="mug", how="by zero"), BOUGHT)
    with capture_logs() as logs:
        async with parts.running():
            await parts.clock.until_sleeping()
            assert (await parts.row()).units == 2
            assert (await parts.checkpoint(), parts.progress.position) == (2, 2)
            assert parts.progress.state == "failed"
            assert "Broken at position 3 can't be folded: ZeroDivisionError: by zero" in parts.progress.error
    assert logs[0]["event"] == "fold-failed"
    assert (logs[0]["read_model"], logs[0]["pause_s"]) == ("Sales", 0.1)


async def test_a_failed_read_model_is_tried_again_after_longer_and_longer_pauses() -> None:
    parts = Parts()
    await filled(parts.log, Broken(sku="mug", how="by zero"))
    with capture_logs() as logs:
        async with parts.running():
            for _ in range(12):
                await parts.clock.until_sleeping()
                parts.clock.advance(30)
                await idle()
    pauses = [each["pause_s"] for each in logs]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[10:] == [30.0, 30.0, 30.0][: len(pauses) - 10]


class Mendable:
    """A read model whose handler fails until it is mended, as by a deployment."""

    def __init__(self) -> None:
        outer = self
        self.broken = True

        class Sales(ReadModel, key="sku"):
            sku: str
            units: int = 0

            @on(Bought)
            def bought(self, event: Bought) -> None:
                self.units += 1
                if outer.broken:
                    raise ZeroDivisionError

        self.app = Application("mendable", [Sales])


async def test_a_read_model_that_recovers_folds_the_event_once_and_says_that_it_runs() -> None:
    mendable = Mendable()
    parts = Parts(application=mendable.app)
    await filled(parts.log, BOUGHT, BOUGHT)
    with capture_logs():
        async with parts.running():
            await parts.clock.until_sleeping()
            mendable.broken = False
            parts.clock.advance(0.1)
            await parts.reached(2)
            assert (parts.progress.state, parts.progress.error) == ("running", "")
            assert (await parts.row()).units == 2
            mendable.broken = True
            await filled(parts.log, BOUGHT)
            await parts.clock.until_sleeping()
            assert parts.progress.state == "failed"
            parts.clock.advance(0.1)
            await parts.clock.until_sleeping()


async def test_a_bug_without_a_message_is_a_failure_all_the_same() -> None:
    class Sales(ReadModel, key="sku"):
        sku: str

        @on(Bought)
        def bought(self, event: Bought) -> None: ...

    class Silent(Store):
        async def load(self, table: Any, keys: Any) -> Any:
            raise KeyError

    parts = Parts(store=Silent(), application=Application("silent", [Sales]))
    await filled(parts.log, BOUGHT)
    with capture_logs():
        async with parts.running():
            await parts.clock.until_sleeping()
            assert parts.progress.state == "failed"
            assert "KeyError" in parts.progress.error


@pytest.mark.parametrize("fault", [StoreUnavailableError("read store", "the disk is full"), OSError(28, "disk full")])
async def test_a_store_that_fails_is_tried_again_and_nothing_is_folded_twice(fault: Exception) -> None:
    parts = Parts()
    await filled(parts.log, BOUGHT)
    parts.store.faults.append(fault)
    with capture_logs():
        async with parts.running():
            await parts.clock.until_sleeping()
            assert parts.progress.state == "failed"
            assert "full" in parts.progress.error
            parts.clock.advance(0.1)
            await parts.reached(1)
            assert (await parts.row()).units == 1


async def test_a_store_that_was_away_for_long_is_tried_again_within_a_second() -> None:
    parts = Parts()
    await filled(parts.log, BOUGHT)
    parts.store.faults.extend(StoreUnavailableError("read store", "the server is down") for _ in range(12))
    with capture_logs() as logs:
        async with parts.running():
            for _ in range(12):
                await parts.clock.until_sleeping()
                parts.clock.advance(1)
                await idle()
            await parts.reached(1)
    assert [each["pause_s"] for each in logs][:6] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


async def test_a_failed_worker_goes_on_at_once_with_what_it_is_given_instead() -> None:
    parts = Parts()
    await filled(parts.log, Broken(sku="mug", how="by zero"))
    with capture_logs():
        async with parts.running():
            await parts.clock.until_sleeping()
            assert "by zero" in parts.projector.error
            (share,) = await leased(parts.store, parts.projector.model.table)
            await parts.store.save(Fold(parts.projector.model.table, [share], Position(1), [], []))
            await parts.store.release((await parts.store.checkpoints())["Sales"].holders[0])
            await parts.reached(1)
            await until(lambda: parts.projector.error == "")


async def test_a_worker_that_has_lost_its_share_asks_for_another_and_folds_nothing_twice() -> None:
    parts = Parts()
    async with parts.running():
        await filled(parts.log, BOUGHT)
        await parts.reached(1)
        (share,) = await leased(parts.store, parts.projector.model.table)
        row = parts.projector.model.to_row(Sales(sku="mug", units=2, buyers=["ann", "bob"]))
        await filled(parts.log, BOUGHT)
        await parts.store.save(Fold(parts.projector.model.table, [share], Position(2), [row], []))
        await parts.store.release((await parts.store.checkpoints())["Sales"].holders[0])
        await filled(parts.log, BOUGHT)
        await parts.reached(3)
        assert await parts.row() == Sales(sku="mug", units=3, buyers=["ann", "bob", "ann"])
        assert parts.projector.taken_over == 1


async def test_a_log_that_cannot_be_read_is_tried_again() -> None:
    parts = Parts()
    await filled(parts.log, BOUGHT)
    parts.log.read_faults.append(StoreUnavailableError("event log", "interrupted"))
    with capture_logs():
        async with parts.running():
            await parts.clock.until_sleeping()
            parts.clock.advance(0.1)
            await parts.reached(1)


async def test_it_stands_still_while_it_is_paused_and_after_a_restart() -> None:
    parts = Parts()
    async with parts.running():
        await parts.partitions.set_paused("Sales", True)
        await filled(parts.log, BOUGHT)
        await idle()
        assert (parts.progress.state, parts.progress.position) == ("paused", 0)
    again = Parts(parts.log, parts.store)
    async with again.running():
        await idle()
        assert (again.progress.state, again.progress.position) == ("paused", 0)
        await again.partitions.set_paused("Sales", False)
        await again.reached(1)
        assert again.progress.state == "running"


async def test_an_undeclared_event_in_the_log_is_none_of_its_business() -> None:
    class Elsewhere(Event):
        sku: str

    parts = Parts()
    foreign = Application("other", [Elsewhere]).codec.encode(Elsewhere(sku="mug"))[0]
    await parts.log.append([Commit(stream("mug"), 0, (foreign,), b"{}", 0)])
    async with parts.running():
        await parts.reached(1)


async def test_a_page_is_at_most_as_large_as_the_setting() -> None:
    parts = Parts(settings=Settings(page_size=10))
    await filled(parts.log, *[BOUGHT] * 35)
    async with parts.running():
        await parts.reached(35)
    assert {limit for _, limit in parts.log.reads} == {10}
    assert [fold.through for fold in parts.store.folds] == [Position(position) for position in (10, 20, 30, 35)]
