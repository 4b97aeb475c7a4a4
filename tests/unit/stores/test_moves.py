import asyncio

from twofold.stores.moves import Moves

LONG_S = 5.0


async def woken(moves: Moves, timeout_s: float = 0.02) -> bool:
    """Whether waiting ends before its time."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await moves.wait(timeout_s)
    return loop.time() - started < timeout_s / 2


async def test_a_move_wakes_everyone_who_waits() -> None:
    moves = Moves()
    async with asyncio.timeout(LONG_S), asyncio.TaskGroup() as waiting:
        for _ in range(3):
            waiting.create_task(moves.wait(10 * LONG_S))
        await asyncio.sleep(0)
        moves.moved()


async def test_a_move_before_the_wait_ends_it_once() -> None:
    moves = Moves()
    moves.moved()
    moves.moved()
    assert await woken(moves)
    assert not await woken(moves)


async def test_a_task_misses_no_move_that_another_was_woken_for() -> None:
    moves = Moves()
    turn, done = asyncio.Event(), asyncio.Event()

    async def other() -> bool:
        await moves.wait(0.0)
        turn.set()
        await done.wait()
        return await woken(moves)

    task = asyncio.create_task(other())
    await turn.wait()
    moves.moved()
    assert await woken(moves)
    done.set()
    assert await task


async def test_a_new_task_waits_for_what_nobody_was_woken_for() -> None:
    moves = Moves()
    moves.moved()
    assert await woken(moves)
    assert not await asyncio.create_task(woken(moves))
