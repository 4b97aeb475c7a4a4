import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from examples.bank import OpenAccount, app
from twofold.errors import UnknownReadModelError
from twofold.http.operations import OperatorDoor
from twofold.http.problems import MethodNotAllowedError, UnknownPathError
from twofold.operations.read_models import ReadModelStatus, Rebuild
from twofold.testing import RunningSystem, running

READ_MODELS = "/operations/read-models"


@pytest.fixture
async def system() -> AsyncIterator[RunningSystem]:
    async with running(app) as system:
        await system.send(OpenAccount(account_id="a1", owner="ann"))
        await system.settle()
        yield system


@pytest.fixture
async def door(system: RunningSystem) -> AsyncIterator[OperatorDoor]:
    door = OperatorDoor(system)
    yield door
    await door.close()


def known(door: OperatorDoor) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {door.token}".encode()}


async def test_who_knows_the_token_sees_the_read_models(door: OperatorDoor) -> None:
    answer = await door.answer(READ_MODELS, "GET", known(door))
    assert answer.status == 200
    (status,) = msgspec.json.decode(answer.body, type=list[ReadModelStatus])
    assert (status.name, status.checkpoint, status.state) == ("Balance", 1, "running")


@pytest.mark.parametrize("given", [None, b"", b"Bearer", b"Bearer ", b"Bearer nonsense", b"Basic YTpi", b"\xff\xfe"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", READ_MODELS), ("POST", f"{READ_MODELS}/Balance/pause"), ("GET", "/operations/x")]
)
async def test_nobody_else_sees_or_does_anything(
    door: OperatorDoor, given: bytes | None, method: str, path: str
) -> None:
    answer = await door.answer(path, method, {} if given is None else {b"authorization": given})
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert (b"www-authenticate", b"Bearer") in answer.headers
    (status,) = await door.operations.read_models()
    assert status.state == "running"


async def test_the_token_is_another_one_in_every_process(system: RunningSystem) -> None:
    assert OperatorDoor(system).token != OperatorDoor(system).token
    assert len(OperatorDoor(system).token) >= 32


async def test_a_read_model_is_paused_and_resumed(door: OperatorDoor) -> None:
    for verb, state in (("pause", "paused"), ("resume", "running")):
        answer = await door.answer(f"{READ_MODELS}/Balance/{verb}", "POST", known(door))
        assert answer.status == 200
        assert msgspec.json.decode(answer.body, type=list[ReadModelStatus])[0].state == state


async def test_a_rebuild_is_accepted_and_goes_on(door: OperatorDoor) -> None:
    answer = await door.answer(f"{READ_MODELS}/Balance/rebuild", "POST", known(door))
    assert answer.status == 202
    assert msgspec.json.decode(answer.body, type=Rebuild).state == "running"


async def test_a_comparison_goes_on_and_shows_what_it_found_in_the_list(door: OperatorDoor) -> None:
    answer = await door.answer(f"{READ_MODELS}/Balance/compare", "POST", known(door))
    assert answer.status == 202
    async with asyncio.timeout(5):
        while not (found := (await door.operations.read_models())[0].rebuild) or found.state == "running":
            await asyncio.sleep(0)
    assert found.comparison
    assert (found.state, found.comparison.differing) == ("done", 0)


async def test_former_rows_are_put_back_and_dropped(door: OperatorDoor, system: RunningSystem) -> None:
    await system.rebuild("Balance")
    assert (await door.answer(f"{READ_MODELS}/Balance/roll-back", "POST", known(door))).status == 200
    assert (await door.answer(f"{READ_MODELS}/Balance/drop", "POST", known(door))).status == 200
    for verb in ("drop", "roll-back"):
        with pytest.raises(UnknownReadModelError):
            await door.answer(f"{READ_MODELS}/Balance/{verb}", "POST", known(door))


async def test_an_unknown_read_model_is_said_to_be_so(door: OperatorDoor) -> None:
    with pytest.raises(UnknownReadModelError):
        await door.answer(f"{READ_MODELS}/Nope/rebuild", "POST", known(door))


@pytest.mark.parametrize("path", ["/operations/", "/operations/x", f"{READ_MODELS}/", f"{READ_MODELS}/Balance/delete"])
async def test_nothing_else_is_there(door: OperatorDoor, path: str) -> None:
    with pytest.raises(UnknownPathError):
        await door.answer(path, "POST", known(door))


@pytest.mark.parametrize(("method", "path"), [("POST", READ_MODELS), ("GET", f"{READ_MODELS}/Balance/pause")])
async def test_a_wrong_method_does_nothing(door: OperatorDoor, method: str, path: str) -> None:
    with pytest.raises(MethodNotAllowedError):
        await door.answer(path, method, known(door))
