import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tests.unit.runtime.parts import idle
from twofold.runtime.coalescing import Coalescer


class Source:
    """Answers numbers with their squares; what is asked while `held` waits."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.fault: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.calls.append(list(keys))
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        return {key: key * key for key in keys if key >= 0}


async def test_keys_asked_for_in_one_turn_become_one_call_with_each_key_once() -> None:
    source = Source()
    squares = Coalescer(source.fetch)
    assert await asyncio.gather(*(squares.get(key) for key in (1, 2, 3, 2, 1))) == [1, 4, 9, 4, 1]
    assert source.calls == [[1, 2, 3]]


async def test_keys_asked_for_during_a_call_go_into_the_next_one() -> None:
    source = Source()
    squares = Coalescer(source.fetch)
    source.open.clear()
    first = asyncio.create_task(squares.get(1))
    await idle()
    later = [asyncio.create_task(squares.get(key)) for key in (1, 2, 3)]
    await idle()
    source.open.set()
    assert await asyncio.gather(first, *later) == [1, 1, 4, 9]
    assert source.calls == [[1], [1, 2, 3]], "1 is asked again: what was read before the second question may be too old"


async def test_a_call_takes_no_more_keys_than_it_may() -> None:
    source = Source()
    squares = Coalescer(source.fetch, at_most=2)
    assert await asyncio.gather(*(squares.get(key) for key in range(5))) == [0, 1, 4, 9, 16]
    assert source.calls == [[0, 1], [2, 3], [4]]


async def test_what_is_not_found_is_none() -> None:
    assert await Coalescer(Source().fetch).get(-1) is None


async def test_an_error_reaches_everyone_who_asked_and_nobody_later() -> None:
    source = Source()
    squares = Coalescer(source.fetch)
    source.fault = OSError("gone")
    answers = await asyncio.gather(squares.get(1), squares.get(2), return_exceptions=True)
    assert answers == [source.fault, source.fault]
    source.fault = None
    assert await squares.get(2) == 4


async def test_an_asker_that_leaves_does_not_disturb_the_others() -> None:
    source = Source()
    squares = Coalescer(source.fetch)
    source.open.clear()
    leaving, staying = [asyncio.create_task(squares.get(2)) for _ in range(2)]
    await idle()
    leaving.cancel()
    await idle()
    source.open.set()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving
