import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import Bought, Buy, Product, Sales, SalesOf, Stock, app, idle
from twofold import Application, ReadModel, Settings, on
from twofold.errors import RebuildUnderWayError, TwofoldError, UnknownReadModelError
from twofold.ports import Fold
from twofold.testing import RunningSystem, running


@pytest.fixture(params=["memory", "sqlite"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "sqlite" else None


async def sold(system: RunningSystem, count: int, sku: str = "mug") -> None:
    for number in range(count):
        await system.send(Buy(sku=sku, buyer=str(number)))


async def sales(system: RunningSystem, sku: str = "mug") -> int:
    row = await system.ask(SalesOf(sku=sku))
    return row.units if row else 0


async def test_a_rebuilt_read_model_has_the_rows_of_the_whole_log(folder: Path | None) -> None:
    async with running(app, folder=folder) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 20)
        await system.settle()
        seen: list[tuple[int, int]] = []
        assert await system.rebuild("Sales", lambda position, head: seen.append((position, head))) == 21
        assert seen[-1] == (21, 21)
        assert await sales(system) == 20
        await sold(system, 5)
        await system.settle()
        assert await sales(system) == 25
    async with running(app, folder=folder) as system:
        if folder is not None:
            assert system.projectors["Sales"].folder.position == 26
            assert await sales(system) == 25


async def test_rows_that_went_wrong_are_right_after_a_rebuild() -> None:
    async with running(app) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.settle()
        projector = system.projectors["Sales"]
        async with projector.turn:
            wrong = projector.model.to_row(Sales(sku="mug", units=999))
            at = projector.folder.position
            await system.store.save(Fold(projector.model.table, projector.folder.epoch, at, at, [wrong], []))
        assert await sales(system) == 999
        await system.rebuild("Sales")
        assert await sales(system) == 3


async def test_queries_see_the_old_rows_until_the_switch_and_commands_go_on(tmp_path: Path) -> None:
    async with running(app, folder=tmp_path, settings=Settings(page_size=8)) as system:
        await system.send(Stock(sku="mug", units=1_000))
        await sold(system, 50)
        await system.settle()
        states: set[str] = set()
        answers: list[int] = []
        stop = asyncio.Event()

        async def ask() -> None:
            while not stop.is_set():
                answers.append(await sales(system))
                states.add(system.projectors["Sales"].progress.state)
                await asyncio.sleep(0)

        async def buy() -> None:
            for _ in range(10):
                await sold(system, 10)

        asking = asyncio.create_task(ask())
        buying = asyncio.create_task(buy())
        await system.rebuild("Sales")
        await buying
        await system.settle()
        stop.set()
        await asking
        assert min(answers) >= 50, "never a half-built table"
        assert answers == sorted(answers), "never back in time"
        assert await sales(system) == 150
        assert "rebuilding" in states
        assert system.projectors["Sales"].progress.state == "running"


async def test_the_other_read_models_go_on_during_a_rebuild(tmp_path: Path) -> None:
    async with running(app, folder=tmp_path, settings=Settings(page_size=2)) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 20)
        await system.settle()
        rebuilding = asyncio.create_task(system.rebuild("Sales"))
        await sold(system, 1)
        assert await system.projectors["Buyers"].progress.reached(22, 10)
        await rebuilding


class Mendable:
    """A read model whose handler fails from some event on, until it is mended."""

    def __init__(self) -> None:
        outer = self
        self.broken = False

        class Sales(ReadModel, key="sku"):
            sku: str
            units: int = 0

            @on(Bought)
            def bought(self, event: Bought) -> None:
                self.units += 1
                if outer.broken:
                    raise ZeroDivisionError("by zero")

        self.app = Application("mendable", [Product, Sales])


async def units(system: RunningSystem) -> Any:
    projector = system.projectors["Sales"]
    found = await system.store.load(projector.model.table, [("mug",)])
    return projector.model.from_row(found[("mug",)]).units


async def test_a_rebuild_that_fails_leaves_the_live_rows_and_can_be_tried_again() -> None:
    mendable = Mendable()
    async with running(mendable.app) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.settle()
        mendable.broken = True
        with pytest.raises(TwofoldError, match="by zero"):
            await system.rebuild("Sales")
        assert await units(system) == 3
        assert system.projectors["Sales"].progress.state == "running"
        mendable.broken = False
        await sold(system, 1)
        await system.settle()
        assert await system.rebuild("Sales") == 5
        assert await units(system) == 4


async def test_a_failed_read_model_runs_again_after_a_rebuild_with_mended_code() -> None:
    mendable = Mendable()
    with capture_logs():
        async with running(mendable.app) as system:
            await system.send(Stock(sku="mug", units=100))
            mendable.broken = True
            await sold(system, 1)
            await system.clock.until_sleeping()
            assert system.projectors["Sales"].progress.state == "failed"
            mendable.broken = False
            await system.rebuild("Sales")
            assert system.projectors["Sales"].progress.state == "running"
            assert await units(system) == 1


async def test_a_read_model_that_is_being_rebuilt_is_not_rebuilt_a_second_time(tmp_path: Path) -> None:
    async with running(app, folder=tmp_path, settings=Settings(page_size=1)) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 20)
        first = asyncio.create_task(system.rebuild("Sales"))
        await asyncio.sleep(0)
        with pytest.raises(RebuildUnderWayError):
            await system.rebuild("Sales")
        assert await first == 21
        assert system.projectors["Sales"].progress.state == "running"


async def test_a_read_model_paused_during_its_rebuild_stays_paused(tmp_path: Path) -> None:
    async with running(app, folder=tmp_path, settings=Settings(page_size=1)) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 10)
        await system.settle()
        rebuilding = asyncio.create_task(system.rebuild("Sales"))
        await asyncio.sleep(0)
        await system.pause("Sales")
        await rebuilding
        await sold(system, 1)
        await idle()
        assert system.projectors["Sales"].progress.state == "paused"
        assert await sales(system) == 10
        await system.resume("Sales")
        await system.settle()
        assert await sales(system) == 11


async def test_a_paused_read_model_can_be_rebuilt_and_stays_paused() -> None:
    async with running(app) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.pause("Sales")
        await system.rebuild("Sales")
        assert await sales(system) == 3
        await sold(system, 1)
        await idle()
        assert (system.projectors["Sales"].progress.state, await sales(system)) == ("paused", 3)


async def test_only_a_declared_read_model_can_be_rebuilt() -> None:
    async with running(app) as system:
        with pytest.raises(UnknownReadModelError, match="declared are: Sales, Buyers"):
            await system.rebuild("Nope")


# --- at the start, after a deployment --------------------------------------------------------------------------------


class Counting(ReadModel, key="sku", name="Sales"):
    sku: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 1


class CountingDouble(ReadModel, key="sku", name="Sales"):
    sku: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 2


first_release, second_release = Application("shop", [Product, Counting]), Application("shop", [Product, CountingDouble])


async def test_a_read_model_that_other_code_folds_is_rebuilt_at_the_start(tmp_path: Path) -> None:
    async with running(first_release, folder=tmp_path) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.settle()
        assert await units(system) == 3
    with capture_logs() as logs:
        async with running(second_release, folder=tmp_path) as system:
            progress = system.projectors["Sales"].progress
            async with asyncio.timeout(10):
                while await units(system) != 6 or progress.state != "running":
                    await asyncio.sleep(0.001)
        assert {"rebuilding", "rebuilt"} <= {each["event"] for each in logs}
        async with running(second_release, folder=tmp_path) as system:
            await idle()
            assert await units(system) == 6
    assert [each["event"] for each in logs].count("rebuilt") == 1


async def test_a_setting_keeps_rows_of_other_code_until_they_are_rebuilt_by_hand(tmp_path: Path) -> None:
    async with running(first_release, folder=tmp_path) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.settle()
    async with running(second_release, folder=tmp_path, settings=Settings(rebuild_changed=False)) as system:
        await sold(system, 1)
        await system.settle()
        assert await units(system) == 5
        await system.rebuild("Sales")
        assert await units(system) == 8
