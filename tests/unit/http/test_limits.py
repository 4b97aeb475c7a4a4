import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from twofold.errors import StoppingError
from twofold.http.limits import Bodies, ClientGoneError
from twofold.http.problems import BodyTimeoutError, BodyTooLargeError

Message = MutableMapping[str, Any]


class Incoming:
    """A body in pieces; None stands for one that never comes."""

    def __init__(self, *pieces: Message | None) -> None:
        self._pieces = list(pieces)
        self.received = 0

    async def __call__(self) -> Message:
        self.received += 1
        piece = self._pieces.pop(0)
        if piece is None:
            await asyncio.Event().wait()
        assert piece is not None
        return piece


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


LAST = piece(b"c", more=False)


def bodies(*, timeout_s: float = 10.0) -> Bodies:
    return Bodies(max_bytes=5, timeout_s=timeout_s)


async def test_a_body_may_come_in_pieces() -> None:
    assert await bodies().read({}, Incoming(piece(b"a"), piece(b"b"), LAST)) == b"abc"
    assert await bodies().read({}, Incoming({"type": "http.request"})) == b""


@pytest.mark.parametrize("length", [b"6", b"9" * 5_000])
async def test_a_body_that_is_declared_too_long_is_not_read(length: bytes) -> None:
    incoming = Incoming(LAST)
    with pytest.raises(BodyTooLargeError):
        await bodies().read({b"content-length": length}, incoming)
    assert incoming.received == 0


async def test_a_body_that_becomes_too_long_is_not_read_on() -> None:
    incoming = Incoming(piece(b"abc"), piece(b"def"), LAST)
    with pytest.raises(BodyTooLargeError):
        await bodies().read({}, incoming)
    assert incoming.received == 2


async def test_a_body_as_long_as_the_limit_is_taken() -> None:
    assert await bodies().read({b"content-length": b"5"}, Incoming(piece(b"abcde", more=False))) == b"abcde"


async def test_a_body_that_does_not_come_in_time_is_given_up() -> None:
    with pytest.raises(BodyTimeoutError):
        await bodies(timeout_s=0.01).read({}, Incoming(piece(b"a"), None))


async def test_a_client_that_goes_away_is_not_answered() -> None:
    with pytest.raises(ClientGoneError):
        await bodies().read({}, Incoming(piece(b"a"), {"type": "http.disconnect"}))


async def test_half_a_body_is_given_up_when_the_process_stops() -> None:
    reading = bodies()
    task = asyncio.create_task(reading.read({}, Incoming(piece(b"a"), None)))
    await asyncio.sleep(0)
    reading.stop()
    with pytest.raises(StoppingError):
        await task


async def test_a_body_that_is_there_already_is_taken_also_while_the_process_stops() -> None:
    reading = bodies()
    reading.stop()
    assert await reading.read({}, Incoming(LAST)) == b"c"
    with pytest.raises(StoppingError):
        await reading.read({}, Incoming(None))
