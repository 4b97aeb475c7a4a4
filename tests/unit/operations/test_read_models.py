import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from examples.bank import Account, AccountOpened, OpenAccount, app
from tests.unit.operations.conftest import open_accounts
from twofold import Application, ReadModel, TwofoldError, on
from twofold.errors import UnknownReadModelError
from twofold.operations.read_models import Operations, ReadModelStatus, stored_read_models
from twofold.ports import Checkpoint
from twofold.streams import Position
from twofold.testing import RunningSystem, running

A_FEW_SECONDS = 5.0


async def until(operations: Operations, state: str) -> ReadModelStatus:
    """The first status in which the last rebuild is in that state."""
    async with asyncio.timeout(A_FEW_SECONDS):
        while True:
            (status,) = await operations.read_models()
            if status.rebuild and status.rebuild.state == state:
                return status
            await asyncio.sleep(0)


async def test_a_read_model_at_the_head_has_no_lag(system: RunningSystem) -> None:
    await open_accounts(system, 3)
    await system.settle()
    assert await Operations(system).read_models() == [
        ReadModelStatus(name="Balance", checkpoint=3, head=3, lag_events=0, lag_s=0.0, state="running")
    ]


async def test_a_paused_read_model_lags_by_events_and_by_the_age_of_the_oldest(system: RunningSystem) -> None:
    operations = Operations(system)
    await operations.pause("Balance")
    await open_accounts(system, 2)
    system.clock.advance(90)
    (status,) = await operations.read_models()
    assert (status.state, status.checkpoint, status.lag_events, status.lag_s) == ("paused", 0, 2, 90.0)
    await operations.resume("Balance")
    await system.settle()
    (status,) = await operations.read_models()
    assert (status.state, status.lag_events) == ("running", 0)


async def test_a_rebuild_ends_at_the_head_and_is_told_of(system: RunningSystem) -> None:
    await open_accounts(system, 3)
    await system.settle()
    operations = Operations(system)
    begun = operations.start_rebuild("Balance")
    assert begun.state == "running"
    assert operations.start_rebuild("Balance") is begun, "one rebuild of a read model at a time"
    status = await until(operations, "done")
    assert status.rebuild
    assert (status.rebuild.position, status.state) == (3, "running")


async def test_what_fails_in_a_rebuild_is_told(system: RunningSystem) -> None:
    await open_accounts(system, 1)
    await system.settle()
    operations = Operations(system)

    async def fails(*_: Any) -> int:
        raise TwofoldError("the disk is full")

    system.rebuild = fails  # type: ignore[method-assign]
    operations.start_rebuild("Balance")
    status = await until(operations, "failed")
    assert status.rebuild
    assert status.rebuild.error == "the disk is full"


async def test_closing_gives_up_a_rebuild(system: RunningSystem) -> None:
    operations = Operations(system)
    rebuild = operations.start_rebuild("Balance")
    await operations.close()
    assert (rebuild.state, rebuild.error) == ("failed", "the process is stopping")


async def test_a_read_model_that_fails_shows_its_error() -> None:
    class Broken(ReadModel, key="account_id"):
        account_id: str

        @on(AccountOpened)
        def opened(self, event: AccountOpened) -> None:
            raise ZeroDivisionError("no")

    async with running(Application("broken", [Account, Broken])) as system:
        await system.send(OpenAccount(account_id="a1", owner="ann"))
        await system.clock.until_sleeping()
        (status,) = await Operations(system).read_models()
        assert status.state == "failed"
        assert "ZeroDivisionError" in str(status.error)


async def test_an_unknown_read_model_is_said_to_be_so(system: RunningSystem) -> None:
    operations = Operations(system)
    with pytest.raises(UnknownReadModelError, match="declared are: Balance"):
        operations.start_rebuild("Nope")
    with pytest.raises(UnknownReadModelError):
        await operations.pause("Nope")
    with pytest.raises(UnknownReadModelError):
        await operations.resume("Nope")


def stored(read_model: str, *positions: int, **facts: Any) -> Checkpoint:
    return Checkpoint(read_model, tuple(map(Position, positions)), "", "", **facts)


async def test_without_a_process_to_ask_the_stores_tell(system: RunningSystem) -> None:
    await open_accounts(system, 4)
    table = app.read_models["Balance"].table
    tables = {name: dataclasses.replace(table, read_model=name) for name in ("Balance", "Paused", "New")}
    checkpoints = {"Balance": stored("Balance", 1), "Paused": stored("Paused", 4, paused=True)}
    now = system.clock.now() + timedelta(seconds=2)
    found = await stored_read_models(tables, checkpoints, system.log, now, state="stopped")
    assert [(each.name, each.state, each.checkpoint, each.lag_events, each.lag_s) for each in found] == [
        ("Balance", "stopped", 1, 3, 2.0),
        ("Paused", "paused", 4, 0, 0.0),
        ("New", "stopped", 0, 4, 2.0),
    ]


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"holders": ("", "")}, "stopped"),
        ({"holders": ("one", "")}, "running"),
        ({"holders": ("one", "two"), "error": "no"}, "failed"),
        ({"holders": ("", ""), "error": "of workers that are gone"}, "stopped"),
        ({"holders": ("one", "two"), "paused": True}, "paused"),
    ],
)
async def test_who_holds_it_says_whether_a_shared_read_model_runs(
    system: RunningSystem, facts: dict[str, Any], state: str
) -> None:
    tables = {"Balance": app.read_models["Balance"].table}
    checkpoints = {"Balance": stored("Balance", 0, 0, **facts)}
    (found,) = await stored_read_models(tables, checkpoints, system.log, system.clock.now(), state="stopped")
    assert (found.state, found.holders, found.partitions) == (state, facts["holders"], 2)


async def test_rows_aside_say_that_it_is_rebuilt_or_can_be_rolled_back(system: RunningSystem) -> None:
    tables = {"Balance": app.read_models["Balance"].table}
    checkpoints = {
        "Balance": stored("Balance", 0, holders=("one",)),
        "Balance~rebuild": stored("Balance~rebuild", 0, holders=("two/rebuild",)),
        "Balance~former": stored("Balance~former", 0, holders=("",)),
    }
    (found,) = await stored_read_models(tables, checkpoints, system.log, system.clock.now(), state="stopped")
    assert (found.state, found.former) == ("rebuilding", True)
