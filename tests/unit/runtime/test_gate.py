import asyncio

import pytest

from tests.unit.runtime.parts import idle
from twofold.errors import OverloadedError, StoppingError
from twofold.runtime.gate import Gate


def test_no_more_get_in_than_the_limit_says() -> None:
    gate = Gate("commands", 2)
    with gate, gate:
        with pytest.raises(OverloadedError) as refusal, gate:
            pass
        assert (refusal.value.what, refusal.value.limit) == ("commands", 2)
    with gate, gate:
        pass


async def test_a_gate_that_drains_waits_for_those_inside_and_lets_nobody_in() -> None:
    gate = Gate("commands", 2)
    with gate:
        draining = asyncio.create_task(gate.drain())
        await idle()
        assert not draining.done()
        with pytest.raises(StoppingError), gate:
            pass
    await asyncio.wait_for(draining, 5)


async def test_an_empty_gate_is_drained_at_once_and_stays_shut() -> None:
    gate = Gate("commands", 2)
    await gate.drain()
    await gate.drain()
    with pytest.raises(StoppingError), gate:
        pass


def test_whoever_leaves_with_an_error_has_left() -> None:
    gate = Gate("commands", 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate:
            raise ZeroDivisionError
