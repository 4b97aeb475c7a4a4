"""Releases of one application that run beside each other on one read store."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import QUICK, Bought, Log, Product, Store, eventually, filled, running_on, until
from twofold import Application, Query, ReadModel, Settings, View, answer, on
from twofold.errors import ReadModelNotReadyError
from twofold.ports import Find
from twofold.runtime.upkeep import Upkeep
from twofold.settings import Role

BY_HAND = Settings(lease_s=QUICK.lease_s, poll_s=QUICK.poll_s, rebuild_changed=False)


class Counting(ReadModel, key="sku", name="Sales", partitions=4):
    sku: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 1


class Doubling(ReadModel, key="sku", name="Sales", partitions=4):
    sku: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 2


class Named(ReadModel, key="sku", name="Sales", partitions=4):
    sku: str
    units: int = 0
    last_buyer: str = ""

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units, self.last_buyer = self.units + 1, event.buyer


class Units(Query[int]): ...


@answer
async def counted(query: Units, sales: View[Counting]) -> int:
    return sum([row.units for row in await sales.find()])


@answer
async def doubled(query: Units, sales: View[Doubling]) -> int:
    return sum([row.units for row in await sales.find()])


@answer
async def named(query: Units, sales: View[Named]) -> int:
    return sum([row.units for row in await sales.find()])


first = Application("shop", [Product, Counting, counted])
second = Application("shop", [Product, Doubling, doubled])
third = Application("shop", [Product, Named, named])


def code(application: Application) -> str:
    return application.read_models["Sales"].table.fold_fingerprint


async def bought(log: Log, count: int) -> None:
    await filled(log, *(Bought(sku=f"sku {number % 10}", buyer="ann") for number in range(count)))


async def made_by(store: Store, application: Application) -> None:
    """Wait until the live rows are those of the application's code."""

    async def is_so() -> bool:
        return (await store.checkpoints())["Sales"].fold_fingerprint == code(application)

    await eventually(is_so)


async def folded_by(store: Store, application: Application, units: int) -> None:
    """Wait until the live rows are the application's and sum up to so many units."""
    await made_by(store, application)
    table = application.read_models["Sales"].table

    async def is_so() -> bool:
        return sum([row[1] for row in await store.find(table, Find({}))]) == units

    await eventually(is_so)


async def test_a_newer_release_replaces_the_rows_and_the_older_one_lets_go_of_them() -> None:
    log, store = Log(), Store()
    await bought(log, 20)
    async with running_on(log, store, application=first, holder="old") as old:
        await folded_by(store, first, 20)
        async with running_on(log, store, application=second, holder="new") as new:
            await folded_by(store, second, 40)
            await bought(log, 20)
            await folded_by(store, second, 80)
            await until(lambda: not old.projectors["Sales"].shares)
            assert await new.ask(Units(), after=40) == 80
            assert await old.ask(Units(), after=40) == 80, "the columns are the same"
            assert set((await store.checkpoints())["Sales"].holders) == {"new"}


async def test_of_several_processes_of_a_new_release_one_rebuilds() -> None:
    log, store = Log(), Store()
    await bought(log, 200)
    async with running_on(log, store, application=first):
        await folded_by(store, first, 200)
    settings = Settings(lease_s=QUICK.lease_s, page_size=2)
    with capture_logs() as logs:
        async with (
            running_on(log, store, settings, application=second, holder="a"),
            running_on(log, store, settings, application=second, holder="b"),
            running_on(log, store, settings, application=second, holder="c"),
        ):
            await folded_by(store, second, 400)
            await asyncio.sleep(5 * settings.lease_s)  # long enough for the others to look again
            await bought(log, 10)
            await folded_by(store, second, 420)
    assert [each["event"] for each in logs].count("rebuilt") == 1


async def test_rows_that_other_code_puts_in_place_later_are_its_own_while_it_folds_them() -> None:
    """An older release that is restarted beside the newer one: they must not undo each other's work for ever."""
    log, store = Log(), Store()
    await bought(log, 20)
    with capture_logs() as logs:
        async with running_on(log, store, application=second, holder="new"):
            await folded_by(store, second, 40)
            async with running_on(log, store, application=first, holder="old"):
                await folded_by(store, first, 20)
                await asyncio.sleep(8 * QUICK.lease_s)
                await bought(log, 20)
                await folded_by(store, first, 40)
                assert [each["event"] for each in logs].count("rebuilt") == 1
            await folded_by(store, second, 80)
            await bought(log, 20)
            await folded_by(store, second, 120)


async def test_rows_that_are_paused_are_left_as_they_are() -> None:
    log, store = Log(), Store()
    await bought(log, 20)
    async with running_on(log, store, application=second, holder="new") as new:
        await folded_by(store, second, 40)
        async with running_on(log, store, application=first, holder="old"):
            await folded_by(store, first, 20)
            await new.pause("Sales")
        await asyncio.sleep(8 * QUICK.lease_s)
        await folded_by(store, first, 20)
        await new.resume("Sales")
        await folded_by(store, second, 40)


async def test_rows_with_other_columns_are_not_read_until_they_are_rebuilt() -> None:
    log, store = Log(), Store()
    await bought(log, 20)
    async with running_on(log, store, application=first, holder="old") as old:
        await folded_by(store, first, 20)
        async with (
            running_on(log, store, BY_HAND, application=third, holder="new") as new,
            running_on(log, store, BY_HAND, application=third, role=Role.QUERY) as queries,
        ):
            for system in (new, queries):
                with pytest.raises(ReadModelNotReadyError, match="have the columns of other code"):
                    await system.ask(Units())
            assert queries.progress["Sales"].state == "waiting"
            assert await old.ask(Units(), after=20) == 20
            await new.rebuild("Sales")
            await until(lambda: not (new.progress["Sales"].hindrance or queries.progress["Sales"].hindrance))
            assert await new.ask(Units(), after=20) == await queries.ask(Units(), after=20) == 20
            await until(lambda: old.progress["Sales"].hindrance)
            with pytest.raises(ReadModelNotReadyError):
                await old.ask(Units())
            await new.roll_back("Sales")
            await until(lambda: not old.progress["Sales"].hindrance)
            await bought(log, 5)
            assert await old.ask(Units(), after=25) == 25


async def test_rows_rolled_back_to_other_code_stand_still_where_only_newer_code_runs() -> None:
    """Folding them on with the code that went wrong would mix what two codes make."""
    log, store = Log(), Store()
    await bought(log, 20)
    async with running_on(log, store, application=first):
        await folded_by(store, first, 20)
    async with running_on(log, store, BY_HAND, application=second) as system:
        await system.rebuild("Sales")
        await folded_by(store, second, 40)
        await until(lambda: len(system.projectors["Sales"].shares) == 4)
        assert await system.roll_back("Sales") == 20
        await bought(log, 20)
        await asyncio.sleep(5 * QUICK.lease_s)
        await folded_by(store, first, 20)
        await system.roll_back("Sales")
        await folded_by(store, second, 80)


async def test_a_rebuild_that_fails_again_and_again_is_tried_less_and_less_often() -> None:
    log, store = Log(), Store()
    await bought(log, 5)
    async with running_on(log, store, application=first):
        await folded_by(store, first, 5)
    pauses: list[float] = []

    async def fail(name: str) -> int:
        raise ZeroDivisionError("by zero")

    async with running_on(log, store, BY_HAND, application=second) as system:
        upkeep = Upkeep(system.projectors["Sales"], store, fail, lease_s=0.001)
        with capture_logs() as logs:
            looking = asyncio.create_task(upkeep.run())
            await until(lambda: len(logs) >= 8)
            pauses.append(upkeep.pause_s)
            looking.cancel()
            await asyncio.wait([looking])
    assert {each["event"] for each in logs} == {"rebuilding", "rebuild-failed"}
    assert pauses[0] >= 0.016
