"""Traffic against a server that misbehaves: real sockets, scripted answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from examples.shop.demo import traffic
from examples.shop.demo.traffic import PatientClient, command_id_of, command_wire, run_phase
from examples.shop.products import BuyNow

DONE = b'{"stream": "product-mug", "version": 2, "position": 17, "events": ["Sold"]}'
SOLD_OUT = b'{"type": "about:blank", "code": "sold-out", "detail": "product mug is sold out", "status": 409}'
HANG_UP = b""


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


@asynccontextmanager
async def scripted(answers: Sequence[bytes]) -> AsyncIterator[tuple[PatientClient, list[bytes]]]:
    """A server that gives these answers one after another, and the bodies that it got."""
    left, bodies = list(answers), list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            bodies.append(command_id_of(head).encode() + b" " + await reader.readexactly(length))
            said = left.pop(0)
            if said == HANG_UP:
                break
            writer.write(said)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, PatientClient("127.0.0.1", port, connections=1) as client:
        yield client, bodies


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PAUSE_S", 0.001)


def wires(client: PatientClient) -> list[bytes]:
    return [command_wire(client, "key-1", BuyNow(sku="mug", customer_id="ann"))]


async def test_an_accepted_command_is_noted_with_its_place_in_the_log() -> None:
    async with scripted([answer(200, DONE)]) as (client, _):
        phase = await run_phase(client, wires(client))
    assert phase.outcomes.done == {"key-1": traffic.Done("product-mug", 2, 17, ["Sold"])}


async def test_a_refusal_is_noted_with_its_code() -> None:
    async with scripted([answer(409, SOLD_OUT)]) as (client, _):
        phase = await run_phase(client, wires(client))
    assert phase.outcomes.refused == {"key-1": traffic.Problem("sold-out", "product mug is sold out")}


async def test_an_answer_that_is_no_problem_document_is_noted_by_its_status() -> None:
    async with scripted([answer(500, b"Internal Server Error")]) as (client, _):
        phase = await run_phase(client, wires(client))
    assert phase.outcomes.refused == {"key-1": traffic.Problem("http-500", "Internal Server Error")}


async def test_a_command_is_sent_again_under_its_key_until_it_is_answered() -> None:
    async with scripted([answer(503, b"{}"), HANG_UP, answer(200, DONE)]) as (client, bodies):
        phase = await run_phase(client, wires(client))
    assert list(phase.outcomes.done) == ["key-1"]
    assert bodies == [b'key-1 {"sku":"mug","customer_id":"ann"}'] * 3


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "ATTEMPTS", 2)
    async with scripted([HANG_UP, HANG_UP]) as (client, bodies):
        phase = await run_phase(client, wires(client))
    assert phase.outcomes.unanswered == ["key-1"]
    assert len(bodies) == 2


async def test_the_flash_sale_has_one_buyer_per_command() -> None:
    async with PatientClient("127.0.0.1", 1) as client:
        ids = [command_id_of(wire) for wire in traffic.flash_sale(client)]
    assert len(set(ids)) == len(ids) == traffic.FLASH_BUYERS
