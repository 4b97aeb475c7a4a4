import asyncio

import pytest

from tests.unit.runtime.parts import app, idle
from twofold.ports import Checkpoint
from twofold.runtime.progress import Progress
from twofold.streams import Position

TABLE = app.read_models["Sales"].table


def stored(*positions: int, fingerprint: str = TABLE.fingerprint, error: str = "") -> Checkpoint:
    return Checkpoint("Sales", tuple(map(Position, positions)), fingerprint, "", error=error)


async def test_those_who_wait_are_woken_when_their_position_is_reached() -> None:
    progress = Progress(TABLE)
    waiting = {wanted: asyncio.create_task(progress.reached(wanted, 10)) for wanted in (5, 3, 5, 9)}
    await idle()
    progress.moved_to(Position(5))
    assert await waiting[5]
    assert await waiting[3]
    await idle()
    assert not waiting[9].done()
    progress.moved_to(Position(20))
    assert await waiting[9]


async def test_what_is_reached_already_needs_no_waiting() -> None:
    progress = Progress(TABLE)
    progress.moved_to(Position(5))
    assert await progress.reached(5, 0)
    assert await progress.reached(0, 0)


@pytest.mark.parametrize("timeout_s", [0, 0.01])
async def test_waiting_ends_in_time(timeout_s: float) -> None:
    progress = Progress(TABLE)
    assert not await progress.reached(1, timeout_s)
    progress.moved_to(Position(1))


async def test_one_that_stops_waiting_leaves_no_trace() -> None:
    progress = Progress(TABLE)
    leaving = asyncio.create_task(progress.reached(5, 10))
    staying = asyncio.create_task(progress.reached(5, 10))
    await idle()
    leaving.cancel()
    await idle()
    progress.moved_to(Position(5))
    assert await staying
    assert leaving.cancelled()


async def test_a_read_model_that_moves_on_has_recovered() -> None:
    progress = Progress(TABLE)
    progress.failed(ZeroDivisionError("by zero"))
    assert (progress.state, progress.error) == ("failed", "ZeroDivisionError: by zero")
    progress.moved_to(Position(1))
    assert (progress.state, progress.error) == ("running", "")


async def test_a_paused_read_model_goes_on_when_it_is_resumed() -> None:
    progress = Progress(TABLE)
    await progress.not_paused()
    progress.pause()
    going_on = asyncio.create_task(progress.not_paused())
    await idle()
    assert (progress.state, going_on.done()) == ("paused", False)
    progress.moved_to(Position(1))
    assert progress.state == "paused"
    progress.resume()
    await asyncio.wait_for(going_on, 5)
    assert progress.state == "running"


def test_rows_with_the_columns_of_other_code_hinder_until_they_are_replaced() -> None:
    progress = Progress(TABLE)
    progress.look_at(stored(3, fingerprint="other columns"))
    assert (progress.state, progress.hindrance) == ("waiting", "the stored rows have the columns of other code")
    progress.look_at(stored(3))
    assert (progress.state, progress.hindrance) == ("running", "")
    progress.look_at(None)
    assert (progress.state, progress.hindrance) == ("waiting", "no projector has made its table yet")


async def test_who_follows_the_store_is_as_far_as_the_last_partition_and_fails_as_its_workers_say() -> None:
    progress = Progress(TABLE)
    waiting = asyncio.create_task(progress.reached(8, 10))
    await idle()
    progress.follow(stored(9, 7, 30))
    await idle()
    assert (progress.position, waiting.done()) == (7, False)
    progress.follow(stored(9, 8, 30, error="by zero"))
    assert await waiting
    assert (progress.position, progress.state, progress.error) == (8, "failed", "by zero")
    progress.follow(None)
    assert (progress.position, progress.state) == (8, "failed")
    progress.follow(stored(9, 8, 30))
    assert progress.state == "running"


async def test_who_begins_to_wait_is_heard() -> None:
    progress = Progress(TABLE)
    heard: list[bool] = []
    progress.on_wait = lambda: heard.append(progress.waited_for)
    assert not await progress.reached(1, 0)
    assert (heard, progress.waited_for) == ([True], False)
    progress.moved_to(Position(1))
    assert await progress.reached(1, 0)
    assert heard == [True], "what is reached already is not waited for"
