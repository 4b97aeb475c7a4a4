import asyncio

import pytest

from twofold.runtime.deadlines import Deadlines


async def test_a_block_that_ends_in_time_is_left_alone() -> None:
    deadlines = Deadlines(10)
    for _ in range(3):
        with deadlines:
            await asyncio.sleep(0)


async def test_a_block_that_takes_too_long_raises_and_its_task_goes_on() -> None:
    deadlines = Deadlines(0.02)
    for _ in range(2):
        with pytest.raises(TimeoutError), deadlines:
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_many_blocks_share_the_timer_and_only_the_late_ones_end() -> None:
    deadlines = Deadlines(0.05)

    async def wait(seconds: float) -> str:
        try:
            with deadlines:
                await asyncio.sleep(seconds)
        except TimeoutError:
            return "late"
        return "in time"

    outcomes = await asyncio.gather(*(wait(seconds) for seconds in (0, 5, 0.01, 5)))
    assert outcomes == ["in time", "late", "in time", "late"]


async def test_cancelling_from_outside_stays_a_cancelling() -> None:
    deadlines = Deadlines(10)

    async def wait() -> None:
        with deadlines:
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    deadlines.end_all()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_that_comes_of_the_end_is_not_hidden_by_it() -> None:
    deadlines = Deadlines(0.01)

    async def clumsy() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("x") from None

    with pytest.raises(ValueError, match="x"), deadlines:
        await clumsy()
    await asyncio.sleep(0)


async def test_a_timeout_of_the_task_around_it_is_kept_apart() -> None:
    deadlines = Deadlines(10)
    outer = asyncio.timeout(0.01)

    async def wait() -> None:
        async with outer:
            with deadlines:
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
    assert outer.expired()
