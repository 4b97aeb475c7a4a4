import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Buy,
    Log,
    Product,
    Sales,
    SalesOf,
    Stock,
    Store,
    app,
    idle,
    system_on,
    until,
)
from twofold import Application, Query, ReadModel, Settings, View, answer, on
from twofold.errors import CheckpointAheadError, StoppingError, StoreUnavailableError, UnknownReadModelError
from twofold.runtime import lifecycle
from twofold.runtime.lanes import Accepted
from twofold.testing import running


async def test_a_system_goes_through_its_states() -> None:
    system = system_on(Log(), Store())
    assert system.state == "starting"
    await system.start()
    assert system.state == "running"
    await system.stop()
    assert system.state == "stopped"
    with pytest.raises(StoppingError):
        await system.send(Stock(sku="mug"))
    with pytest.raises(StoppingError):
        await system.ask(SalesOf(sku="mug"))


async def test_a_query_after_a_command_reads_its_own_write() -> None:
    async with running(app) as system:
        await system.send(Stock(sku="mug", units=100))
        for bought in range(1, 20):
            done = await system.send(Buy(sku="mug"))
            answered = await system.answer(SalesOf(sku="mug"), after=done.position)
            assert answered.value is not None
            assert answered.value.units == bought
            assert answered.position >= done.position


async def test_settling_waits_for_every_read_model() -> None:
    async with running(app) as system:
        await system.settle()
        await system.send(Stock(sku="mug", units=100))
        await asyncio.gather(*(system.send(Buy(sku="mug")) for _ in range(50)))
        await system.settle()
        assert {each.progress.position for each in system.projectors.values()} == {51}


async def test_settling_does_not_wait_for_a_paused_read_model_without_saying_so() -> None:
    async with running(app) as system:
        await system.pause("Sales")
        await system.send(Stock(sku="mug"))
        with pytest.raises(TimeoutError, match="Sales at 0, paused"):
            await system.settle(timeout_s=0.05)
        await system.resume("Sales")
        await system.settle()


async def test_stopping_finishes_accepted_commands_and_loses_none() -> None:
    log, store = Log(), Store()
    system = system_on(log, store)
    await system.start()
    log.hold()
    accepted = [asyncio.create_task(system.send(Stock(sku=str(number)))) for number in range(20)]
    await until(lambda: log.batches)
    stopping = asyncio.create_task(system.stop())
    await idle()
    assert system.state == "stopping"
    log.release()
    await asyncio.wait_for(stopping, 5)
    assert all(isinstance(each, Accepted) for each in await asyncio.gather(*accepted))
    assert len(await log.events()) == 20


async def test_stopping_ends_in_time_even_if_the_store_hangs() -> None:
    log = Log()
    system = system_on(log, Store(), Settings(drain_timeout_s=0.05))
    await system.start()
    log.hold()
    hanging = asyncio.create_task(system.send(Stock(sku="mug")))
    await until(lambda: log.batches)
    with capture_logs() as logs:
        await asyncio.wait_for(system.stop(), 5)
    assert "not-drained" in {each["event"] for each in logs}
    log.release()
    await asyncio.wait_for(asyncio.wait([hanging]), 5)


async def test_stopping_saves_how_far_the_read_models_have_come() -> None:
    log, store = Log(), Store()
    system = system_on(log, store)
    await system.start()
    await system.send(Stock(sku="mug"))
    await system.settle()
    await system.stop()
    assert {each.position for each in (await store.checkpoints()).values()} == {1}


async def test_a_read_store_of_another_history_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with running(app, folder=tmp_path) as system:
        await system.send(Stock(sku="mug", units=9))
        await system.send(Buy(sku="mug"))
        await system.settle()
    for file in tmp_path.glob("log.db*"):
        file.unlink()
    with pytest.raises(CheckpointAheadError, match=r"Sales has folded up to position 2, the event log ends at 0"):
        async with running(app, folder=tmp_path):
            pass


async def test_a_start_that_fails_leaves_nothing_running() -> None:
    class Failing(Store):
        async def open(self, table: Any, *, restart: bool = False) -> Any:
            if table.read_model == "Buyers":
                raise OSError(28, "No space left on device")
            return await super().open(table, restart=restart)

    system = system_on(Log(), Failing())
    with pytest.raises(OSError, match="No space left"):
        await system.start()
    await asyncio.wait_for(system.stop(), 5)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(("projector", "rebuild"))]


@pytest.mark.parametrize("call", ["pause", "resume", "rebuild"])
async def test_an_operation_on_an_unknown_read_model_is_refused(call: str) -> None:
    async with running(app) as system:
        with pytest.raises(UnknownReadModelError, match="declared are: Sales, Buyers"):
            await getattr(system, call)("Nope")


async def test_a_paused_read_model_is_paused_after_a_restart(tmp_path: Path) -> None:
    async with running(app, folder=tmp_path) as system:
        await system.pause("Sales")
    async with running(app, folder=tmp_path) as system:
        assert system.projectors["Sales"].progress.state == "paused"
        await system.send(Stock(sku="mug", units=2))
        await system.send(Buy(sku="mug"))
        await idle()
        assert system.projectors["Sales"].progress.position == 0
        await system.resume("Sales")
        await system.settle()
    async with running(app, folder=tmp_path) as system:
        assert system.projectors["Sales"].progress.state == "running"


class Changed(ReadModel, key="sku", name="Sales"):
    sku: str

    @on(Bought)
    def bought(self, event: Bought) -> None:
        raise ZeroDivisionError("by zero")


async def test_a_rebuild_at_the_start_that_fails_is_logged_and_leaves_the_rows(tmp_path: Path) -> None:
    class Sales(ReadModel, key="sku"):
        sku: str

        @on(Bought)
        def bought(self, event: Bought) -> None: ...

    async with running(Application("shop", [Product, Sales]), folder=tmp_path) as system:
        await system.send(Stock(sku="mug", units=1))
        await system.send(Buy(sku="mug"))
        await system.settle()
    with capture_logs() as logs:
        async with running(Application("shop", [Product, Changed]), folder=tmp_path) as system:
            async with asyncio.timeout(10):
                while "rebuild-failed" not in {each["event"] for each in logs}:
                    await asyncio.sleep(0.001)
            assert system.projectors["Sales"].progress.position == 2
            store = system.stores.store
            assert store is not None
            assert await store.load(system.projectors["Sales"].model.table, [("mug",)])


async def test_a_position_that_cannot_be_saved_at_the_end_is_logged_and_stops_nothing() -> None:
    log, store = Log(), Store()
    system = system_on(log, store)
    await system.start()
    await system.send(Stock(sku="mug"))
    await system.settle()
    store.faults.append(StoreUnavailableError("read store", "the disk is full"))
    with capture_logs() as logs:
        await system.stop()
    assert [(each["event"], each["read_model"]) for each in logs] == [("position-not-saved", "Sales")]
    assert system.state == "stopped"


async def test_stopping_ends_in_time_even_if_the_read_store_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_LETTING_GO_S", 0.02)

    class Hanging(Store):
        async def release(self, holder: str) -> None:
            await asyncio.Event().wait()

    system = system_on(Log(), Hanging())
    await system.start()
    with capture_logs() as logs:
        await asyncio.wait_for(system.stop(), 5)
    assert ([each["event"] for each in logs], system.state) == (["not-let-go"], "stopped")


async def test_leases_that_cannot_be_given_back_run_out_by_themselves() -> None:
    class Failing(Store):
        async def release(self, holder: str) -> None:
            raise StoreUnavailableError("read store", "the server is down")

    log, store = Log(), Failing()
    system = system_on(log, store)
    await system.start()
    await system.send(Stock(sku="mug"))
    with capture_logs() as logs:
        assert await system.rebuild("Sales") == 1
        await system.stop()
    assert [each["event"] for each in logs] == ["leases-not-released", "leases-not-released"]
    assert (await store.checkpoints())["Sales"].position == 1


async def test_a_store_that_cannot_be_reached_at_the_start_is_told_and_may_be_tried_again() -> None:
    class Away(Store):
        away = True

        async def lease(self, holder: str, wanted: Any, lease_s: float) -> Any:
            if self.away:
                raise StoreUnavailableError("read store", "the server is down")
            return await super().lease(holder, wanted, lease_s)

    log, store = Log(), Away()
    first = system_on(log, store)
    with pytest.raises(StoreUnavailableError):
        await first.start()
    await first.stop()
    store.away = False
    second = system_on(log, store)
    await second.start()
    await second.send(Stock(sku="mug"))
    await second.settle()
    await second.stop()


async def test_a_view_takes_sql_where_the_store_has_it(tmp_path: Path) -> None:
    @answer
    async def dearest(query: Dearest, sales: View[Sales]) -> list[str]:
        rows = await sales.sql("SELECT sku FROM sales WHERE units >= :least ORDER BY sku", {"least": query.least})
        return [row["sku"] for row in rows]

    async with running(Application("shop", [Product, Sales, dearest]), folder=tmp_path) as system:
        for sku in ("mug", "bag", "cup"):
            await system.send(Stock(sku=sku, units=9))
            await system.send(Buy(sku=sku))
        await system.send(Buy(sku="mug"))
        await system.settle()
        assert await system.ask(Dearest(least=1)) == ["bag", "cup", "mug"]
        assert await system.ask(Dearest(least=2)) == ["mug"]


class Dearest(Query[list[str]]):
    least: int
