import asyncio

import pytest

from tests.unit.runtime.parts import idle
from twofold.runtime.progress import Progress
from twofold.streams import Position


async def test_those_who_wait_are_woken_when_their_position_is_reached() -> None:
    progress = Progress("Sales")
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
    progress = Progress("Sales")
    progress.moved_to(Position(5))
    assert await progress.reached(5, 0)
    assert await progress.reached(0, 0)


@pytest.mark.parametrize("timeout_s", [0, 0.01])
async def test_waiting_ends_in_time(timeout_s: float) -> None:
    progress = Progress("Sales")
    assert not await progress.reached(1, timeout_s)
    progress.moved_to(Position(1))


async def test_one_that_stops_waiting_leaves_no_trace() -> None:
    progress = Progress("Sales")
    leaving = asyncio.create_task(progress.reached(5, 10))
    staying = asyncio.create_task(progress.reached(5, 10))
    await idle()
    leaving.cancel()
    await idle()
    progress.moved_to(Position(5))
    assert await staying
    assert leaving.cancelled()


async def test_a_read_model_that_moves_on_has_recovered() -> None:
    progress = Progress("Sales")
    progress.failed(ZeroDivisionError("by zero"))
    assert (progress.state, progress.error) == ("failed", "ZeroDivisionError: by zero")
    progress.moved_to(Position(1))
    assert (progress.state, progress.error) == ("running", "")


async def test_a_paused_read_model_goes_on_when_it_is_resumed() -> None:
    progress = Progress("Sales")
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
