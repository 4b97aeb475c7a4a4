import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Buy,
    Log,
    Product,
    ReadModels,
    Sales,
    SalesOf,
    Stock,
    Store,
    app,
    filled,
    idle,
    leased,
    system_on,
    until,
)
from twofold import Application, ReadModel, Settings, on
from twofold.errors import (
    FencedError,
    RebuildUnderWayError,
    StoreError,
    StoreUnavailableError,
    TwofoldError,
    UnknownReadModelError,
)
from twofold.ports import NOTHING_HELD, Checkpoint, Find, Fold, Held, Share
from twofold.runtime.folding import Folder
from twofold.runtime.lifecycle import System
from twofold.runtime.rebuild import Rebuilder
from twofold.streams import Position
from twofold.tables import Table
from twofold.testing import RunningSystem, running

SALES = app.read_models["Sales"]


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
            assert system.progress["Sales"].position == 26
            assert await sales(system) == 25


async def plant(system: RunningSystem, *rows: ReadModel) -> None:
    """Write rows that no fold has made, as a bug or an accident might."""
    store, leases = system.stores.store, system.stores.leases
    assert store is not None
    assert leases is not None
    for row in rows:
        model = system.app.read_models[type(row).__name__]
        shares = await leases.seize("the accident", model.name, 60, force=True)
        await store.save(Fold(model.table, shares, shares[0].position, [model.to_row(row)], []))
    await leases.release("the accident")


async def test_rows_that_went_wrong_are_right_after_a_rebuild(folder: Path | None) -> None:
    async with running(app, folder=folder) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.settle()
        await plant(system, Sales(sku="mug", units=999))
        assert await sales(system) == 999
        await system.rebuild("Sales")
        assert await sales(system) == 3
        await sold(system, 1)
        await system.settle()
        assert await sales(system) == 4


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
    store = system.stores.store
    assert store is not None
    found = await store.load(projector.model.table, [("mug",)])
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
            await system.settle()
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


# --- going on where it was -------------------------------------------------------------------------------------------


class Failing(Store):
    """Fails at the saves of a rebuild when told so, as if its process had been killed there."""

    def __init__(self) -> None:
        super().__init__()
        self.saves_left = 1_000_000
        self.promotes_left = 1_000_000

    async def save(self, fold: Fold) -> Sequence[Share]:
        if fold.table.name.endswith("__rebuild"):
            self.saves_left -= 1
            if self.saves_left < 0:
                raise StoreUnavailableError("read store", "the server is down")
        return await super().save(fold)

    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        self.promotes_left -= 1
        if self.promotes_left < 0:
            raise StoreUnavailableError("read store", "the server is down")
        return await super().promote(rebuilt, live, held)


def rebuilder(
    log: Log, store: ReadModels, *, application: Application = app, holder: str = "one", page_size: int = 5
) -> Rebuilder:
    model, settings = application.read_models["Sales"], Settings(page_size=page_size)
    return Rebuilder(model, application.codec, log, store, store, settings, holder=holder)


async def log_of(count: int) -> Log:
    log = Log()
    await filled(log, *(Bought(sku=f"sku {number % 3}", buyer="ann") for number in range(count)))
    return log


async def sold_in(store: Store, table: Table = SALES.table) -> dict[str, int]:
    return {row[0]: row[1] for row in await store.find(table, Find({}))}


async def test_a_rebuild_that_was_cut_short_goes_on_where_it_was() -> None:
    log, store = await log_of(60), Failing()
    store.saves_left = 6
    with pytest.raises(StoreUnavailableError):
        await rebuilder(log, store).rebuild()
    assert (await store.checkpoints())["Sales~rebuild"].position == 30
    store.saves_left = 1_000_000
    log.reads.clear()
    assert await rebuilder(log, store, holder="another process").rebuild() == 60
    assert min(after for after, _ in log.reads) == 30
    assert await sold_in(store) == {"sku 0": 20, "sku 1": 20, "sku 2": 20}
    assert "Sales~rebuild" not in await store.checkpoints()


async def test_a_rebuild_does_not_go_on_with_what_other_code_has_made() -> None:
    log, store = await log_of(60), Failing()
    store.saves_left = 6
    with pytest.raises(StoreUnavailableError):
        await rebuilder(log, store, application=second_release).rebuild()
    store.saves_left = 1_000_000
    assert await rebuilder(log, store).rebuild() == 60
    assert await sold_in(store) == {"sku 0": 20, "sku 1": 20, "sku 2": 20}


async def test_a_rebuild_of_another_process_is_waited_for_until_its_lease_runs_out() -> None:
    log, store = await log_of(60), Store()
    await store.open(SALES.table.aside("rebuild"))
    await store.seize("elsewhere", "Sales~rebuild", 60)
    with pytest.raises(RebuildUnderWayError, match="another process rebuilds it; nothing was changed"):
        await rebuilder(log, store).rebuild()
    await store.release("elsewhere")
    assert await rebuilder(log, store).rebuild() == 60


class Slow(Store):
    """Stands still before it seizes the live rows, as a process does that is stopped there."""

    def __init__(self) -> None:
        super().__init__()
        self.going = asyncio.Event()
        self.stood_still = 0

    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        if force and holder == "stopped/rebuild":
            self.stood_still += 1
            await self.going.wait()
        return await super().seize(holder, read_model, lease_s, force=force)


async def test_a_rebuild_that_stood_still_does_not_put_what_others_make_in_the_place_of_live_rows() -> None:
    """It had everything, and wakes when another release has begun its own rebuild in the same place."""
    log, store = await log_of(60), Slow()
    await rebuilder(log, store).rebuild()
    shares = (await store.open(SALES.table.aside("rebuild")), await store.seize("x", "Sales~rebuild", 60))[1]
    await store.save(Fold(SALES.table.aside("rebuild"), shares, Position(60), [], []))
    await store.release("x")
    stopped = asyncio.create_task(rebuilder(log, store, holder="stopped").rebuild())
    await until(lambda: store.stood_still)
    await store.release("stopped/rebuild")  # its lease runs out
    newer = second_release.read_models["Sales"].table.aside("rebuild")
    await store.open(newer, restart=True)
    await store.seize("newer/rebuild", newer.read_model, 60)
    store.going.set()
    with pytest.raises(FencedError, match="another process has taken Sales~rebuild over"):
        await stopped
    assert await sold_in(store) == {"sku 0": 20, "sku 1": 20, "sku 2": 20}
    assert (await store.checkpoints())["Sales~rebuild"].fold_fingerprint == newer.fold_fingerprint


async def test_a_rebuild_that_fails_at_the_switch_needs_only_the_switch_afterwards() -> None:
    log, store = await log_of(60), Failing()
    store.promotes_left = 0
    with pytest.raises(StoreUnavailableError):
        await rebuilder(log, store).rebuild()
    store.promotes_left = 1
    store.saves_left = 0
    assert await rebuilder(log, store).rebuild() == 60


# --- the former rows -------------------------------------------------------------------------------------------------


async def test_the_rows_from_before_a_rebuild_can_be_put_back_and_go_on_from_where_they_stood(
    folder: Path | None,
) -> None:
    async with running(app, folder=folder) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.settle()
        await plant(system, Sales(sku="mug", units=990))
        await system.rebuild("Sales")
        await sold(system, 2)
        await system.settle()
        assert await sales(system) == 5
        assert await system.roll_back("Sales") == 4
        await system.settle()
        assert await sales(system) == 992
        await system.roll_back("Sales")
        await system.settle()
        assert await sales(system) == 5


async def test_without_former_rows_there_is_nothing_to_put_back() -> None:
    async with running(app) as system:
        with pytest.raises(UnknownReadModelError, match="keeps no former rows of Sales"):
            await system.roll_back("Sales")


# --- comparing -------------------------------------------------------------------------------------------------------


async def differences(system: System, name: str = "Sales") -> dict[Any, tuple[Any, Any]]:
    """Units by key: what is there and what should be."""
    async with aclosing(system.compare(name)) as found:
        return {each.key[0]: (each.live and each.live[1], each.rebuilt and each.rebuilt[1]) async for each in found}


async def test_comparing_finds_the_rows_that_went_wrong_and_changes_none(folder: Path | None) -> None:
    async with running(app, folder=folder) as system:
        for sku in ("mug", "bag", "cup"):
            await system.send(Stock(sku=sku, units=100))
            await sold(system, 3, sku)
        await system.settle()
        assert await differences(system) == {}
        await plant(system, Sales(sku="mug", units=990), Sales(sku="ghost", units=1))
        store, leases = system.stores.store, system.stores.leases
        assert store is not None
        assert leases is not None
        shares = await leases.seize("the accident", "Sales", 60, force=True)
        await store.save(Fold(SALES.table, shares, shares[0].position, [], [("cup",)]))
        await leases.release("the accident")
        assert await differences(system) == {"mug": (990, 3), "ghost": (1, None), "cup": (None, 3)}
        assert (await sales(system), await sales(system, "bag")) == (990, 3)
        await sold(system, 1)
        await system.settle()
        assert (await sales(system), system.progress["Sales"].state) == (991, "running")
        assert "Sales~rebuild" not in await store.checkpoints()


async def test_rows_that_stand_still_are_compared_with_a_fold_up_to_where_they_stand(folder: Path | None) -> None:
    async with running(app, folder=folder) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 3)
        await system.settle()
        await system.pause("Sales")
        await sold(system, 5)
        assert await differences(system) == {}
        await system.resume("Sales")
        await system.settle()
        assert await sales(system) == 8


class ByBuyer(ReadModel, key="buyer", partitions=8):
    buyer: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 1


partitioned = Application("shop", [Product, ByBuyer])


async def test_partitions_that_stand_apart_are_each_compared_where_they_stand() -> None:
    log, store, model = Log(), Store(), partitioned.read_models["ByBuyer"]
    await filled(log, *(Bought(sku="mug", buyer=str(number % 30)) for number in range(90)))
    folder, page = Folder(model, model.table, app.codec, store), await log.events()
    for share in await leased(store, model.table):
        await folder.fold(page[: 10 + share.partition * 10], [share], save_always=True)
    await store.release((await store.checkpoints())["ByBuyer"].holders[0])
    system = system_on(log, store, Settings(page_size=7), application=partitioned)
    assert await differences(system, "ByBuyer") == {}
    (wrong,) = [
        share for share in await leased(store, model.table) if share.partition == model.table.partition_of(("7",))
    ]
    await store.save(Fold(model.table, [wrong], wrong.position, [("7", 70)], []))
    assert [*await differences(system, "ByBuyer")] == ["7"]


async def test_rows_that_are_replaced_while_they_are_compared_are_not_taken_for_wrong() -> None:
    log, store = await log_of(60), Slow()
    await rebuilder(log, store).rebuild()
    await filled(log, *[Bought(sku="sku 0", buyer="ann")] * 60)
    await rebuilder(log, store).rebuild()
    comparing = asyncio.create_task(anext(rebuilder(log, store, holder="stopped").compare(store)))  # pyright: ignore[reportArgumentType]
    await until(lambda: store.stood_still)
    await rebuilder(log, store, holder="operator").roll_back()
    store.going.set()
    with pytest.raises(FencedError, match="the rows of Sales were replaced"):
        await comparing
    assert "Sales~rebuild" not in await store.checkpoints()


async def test_leaving_a_comparison_early_lets_the_rows_go_on() -> None:
    async with running(app) as system:
        await system.send(Stock(sku="mug", units=100))
        await sold(system, 1)
        await system.settle()
        await plant(system, Sales(sku="a", units=990), Sales(sku="b", units=1))
        async with aclosing(system.compare("Sales")) as found:
            async for _ in found:
                break
            with pytest.raises(RebuildUnderWayError):
                await system.rebuild("Sales")
        await sold(system, 1)
        await system.settle()
        assert await sales(system) == 2
        await system.rebuild("Sales")


async def test_rows_with_the_columns_of_other_code_cannot_be_compared() -> None:
    log, store = await log_of(9), Store()
    await rebuilder(log, store, application=first_release).rebuild()
    with pytest.raises(StoreError, match="the live rows of Sales have the columns or partitions of other code"):
        await differences(system_on(log, store))
    assert await sold_in(store, first_release.read_models["Sales"].table) == {"sku 0": 3, "sku 1": 3, "sku 2": 3}


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
                while "rebuilt" not in {each["event"] for each in logs}:
                    await asyncio.sleep(0.001)
            await system.settle()
            assert (await units(system), progress.state) == (6, "running")
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
