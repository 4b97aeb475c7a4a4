from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.unit.runtime.parts import Buy, Log, SalesOf, Stock, Store, eventually, running_on, system_on
from twofold.errors import WrongRoleError
from twofold.runtime.lifecycle import Stores, System
from twofold.settings import Role

Call = Callable[[System], Coroutine[Any, Any, Any]]

CALLS: dict[str, Call] = {
    "send": lambda system: system.send(Stock(sku="mug")),
    "ask": lambda system: system.ask(SalesOf(sku="mug")),
    "answer": lambda system: system.answer(SalesOf(sku="mug")),
    "settle": lambda system: system.settle(),
    "rebuild": lambda system: system.rebuild("Sales"),
    "roll_back": lambda system: system.roll_back("Sales"),
    "compare": lambda system: anext(system.compare("Sales")),  # pyright: ignore[reportReturnType]
    "pause": lambda system: system.pause("Sales"),
    "resume": lambda system: system.resume("Sales"),
}


@pytest.mark.parametrize(
    ("role", "refused", "wanted"),
    [
        (Role.COMMAND, ["ask", "answer"], "query"),
        (Role.COMMAND, ["settle", "rebuild", "roll_back", "compare", "pause", "resume"], "projector"),
        (Role.QUERY, ["send"], "command"),
        (Role.QUERY, ["rebuild", "roll_back", "compare", "pause", "resume"], "projector"),
        (Role.QUERY, ["settle"], "command or projector"),
        (Role.PROJECTOR, ["send"], "command"),
        (Role.PROJECTOR, ["ask", "answer"], "query"),
    ],
)
async def test_a_role_refuses_what_others_do_and_names_them(role: Role, refused: list[str], wanted: str) -> None:
    async with running_on(Log(), Store(), role=Role.PROJECTOR), running_on(Log(), Store(), role=role) as system:
        for call in refused:
            with pytest.raises(
                WrongRoleError, match=f"role {role}; nothing was done .send it to a service of role {wanted}."
            ):
                await CALLS[call](system)


async def test_each_role_does_its_part() -> None:
    log, store = Log(), Store()
    async with (
        running_on(log, store, role=Role.COMMAND) as commands,
        running_on(log, store, role=Role.PROJECTOR) as projector,
        running_on(log, store, role=Role.QUERY) as queries,
    ):
        await commands.send(Stock(sku="mug", units=9))
        done = await commands.send(Buy(sku="mug"))
        row = await queries.ask(SalesOf(sku="mug"), after=done.position)
        assert row is not None
        assert row.units == 1
        await projector.settle()
        assert projector.progress["Sales"].position == 2

        async def is_known() -> bool:
            return (await queries.checkpoints())["Sales"].position == 2

        await eventually(is_known)
        assert await projector.checkpoints() == await queries.checkpoints()
        assert await commands.checkpoints() == {}
        assert list(projector.projectors) == ["Sales", "Buyers"]
        assert commands.projectors == queries.projectors == {}


async def test_a_projector_alone_knows_how_far_its_read_models_are() -> None:
    log, store = Log(), Store()
    async with running_on(log, store, role=Role.COMMAND) as commands:
        await commands.send(Stock(sku="mug", units=9))
    async with running_on(log, store, role=Role.PROJECTOR) as projector:
        await projector.settle()


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_without_the_stores_that_it_needs_is_not_made(role: Role) -> None:
    with pytest.raises((TypeError, WrongRoleError)):
        System(
            system_on(Log(), Store()).app,
            system_on(Log(), Store()).settings,
            Stores(),
            role=role,
            clock=system_on(Log(), Store()).clock,
            probe=system_on(Log(), Store()).probe,
        )
