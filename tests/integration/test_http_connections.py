"""Slow, greedy and hostile clients, on real sockets."""

import asyncio
import dataclasses
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import msgspec
import pytest

from tests.integration.counters import MEMORY, app
from twofold import Settings, asgi
from twofold.http.connections import MAX_HEAD_BYTES, Connection, Guard, Limits
from twofold.http.server import HttpServer, bound
from twofold.testing.load import LoadClient

QUICK = dataclasses.replace(MEMORY, http_port=0, http_header_timeout_s=0.4, http_body_timeout_s=0.4)
JSON = "Content-Type: application/json\r\n"
TIMEOUT_S = 10.0


class Client:
    """A socket, and what comes out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: str | bytes) -> None:
        self._writer.write(data.encode() if isinstance(data, str) else data)
        await self._writer.drain()

    async def send_for_ever(self, data: bytes) -> None:
        """Until the connection is lost."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                await self.send(data)
                await asyncio.sleep(0.01)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        async with asyncio.timeout(TIMEOUT_S):
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:] if line)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        status, headers = await self.head()
        async with asyncio.timeout(TIMEOUT_S):
            return status, headers, await self._reader.readexactly(int(headers.get("content-length", 0)))

    async def problem(self) -> tuple[int, str]:
        status, headers, body = await self.answer()
        assert headers["content-type"] == "application/problem+json"
        return status, msgspec.json.decode(body)["code"]

    async def is_closed(self) -> bool:
        """Wait for the end of the connection; what still comes in is an error."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self._reader.read() == b""
            except ConnectionResetError:
                return True

    async def close(self) -> None:
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


class Place:
    """A server that listens, and the clients that were connected to it."""

    def __init__(self, server: HttpServer, port: int) -> None:
        self.server, self.port = server, port
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that serves: its transports differ from asyncio's own."""
    return "asyncio", {"use_uvloop": True}


@asynccontextmanager
async def listening(settings: Settings = QUICK) -> AsyncGenerator[Place]:
    with bound(settings) as listener:
        server = HttpServer(asgi(app, settings))
        place = Place(server, listener.getsockname()[1])
        async with server.door.lifespan():
            started = asyncio.Event()
            serving = asyncio.create_task(server.listen(listener, lambda url: started.set()))
            await started.wait()
            try:
                yield place
            finally:
                await place.close()
                server.should_exit = True
                await serving


async def test_a_head_that_comes_byte_by_byte_is_cut_off() -> None:
    async with listening() as place:
        client = await place.connect()
        started = time.perf_counter()

        async def trickle() -> None:
            for byte in f"GET /livez HTTP/1.1\r\nX-Slow: {'x' * 2_000}".encode():
                await client.send(bytes([byte]))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        assert await client.problem() == (408, "head-timeout")
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        assert await client.is_closed()
        assert 0.3 < time.perf_counter() - started < 3


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with listening() as place:
        client = await place.connect()
        assert await client.is_closed()


async def test_a_second_head_that_stops_half_way_is_cut_off_too() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send("GET /livez HTTP/1.1\r\n\r\n")
        assert (await client.answer())[0] == 200
        await client.send("GET /livez HTTP/1.1\r\nX-Slow")
        assert await client.problem() == (408, "head-timeout")
        assert await client.is_closed()


async def test_a_client_that_is_idle_between_requests_is_left_alone() -> None:
    async with listening() as place:
        client = await place.connect()
        for _ in range(2):
            await client.send("GET /livez HTTP/1.1\r\n\r\n")
            assert (await client.answer())[0] == 200
            await asyncio.sleep(3 * QUICK.http_header_timeout_s)


async def test_a_client_that_is_idle_for_too_long_is_let_go() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send("GET /livez HTTP/1.1\r\n\r\n")
        assert (await client.answer())[0] == 200
        limits = dataclasses.replace(Limits.of(QUICK, on_problem=lambda code: None), keep_alive_s=0)
        Guard(cast("set[Connection]", place.server.server_state.connections), limits).look(0)
        assert await client.is_closed()


async def test_bytes_that_are_no_http_do_not_spoil_the_answer_to_a_request_before_them() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send("GET /queries/Totals HTTP/1.1\r\nTwofold-After: 9\r\nPrefer: wait=1\r\n\r\nnonsense\r\n\r\n")
        assert await client.problem() == (503, "not-yet-consistent")
        assert await client.is_closed()


async def test_a_client_of_http_1_0_is_answered_and_let_go() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send("GET /livez HTTP/1.0\r\n\r\n")
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body) == (200, "close", b'{"status":"alive"}')
        assert await client.is_closed()


async def test_head_is_answered_without_a_body() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send("HEAD /livez HTTP/1.1\r\n\r\nGET /livez HTTP/1.1\r\n\r\n")
        head = await client.head()
        assert (head[0], head[1]["content-length"]) == (200, "18")
        assert (await client.answer())[2] == b'{"status":"alive"}'


async def test_a_query_that_waits_longer_than_a_head_may_take_is_left_alone() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send("GET /queries/Totals HTTP/1.1\r\nTwofold-After: 9\r\nPrefer: wait=1\r\n\r\n")
        assert await client.problem() == (503, "not-yet-consistent")


async def test_a_crowd_that_connects_is_taken_in_a_few_turns_of_the_event_loop() -> None:
    """uvloop's own server takes one connection in a turn, and turns are long when there is much to do."""
    async with listening() as place:
        crowd = [socket.create_connection(("127.0.0.1", place.port)) for _ in range(100)]  # the loop stands still
        turns = 0
        while len(place.server.server_state.connections) < 100:
            await asyncio.sleep(0)
            turns += 1
            assert turns < 30
        for each in crowd:
            each.close()


async def metrics_of(place: Place) -> str:
    client = await place.connect()
    await client.send("GET /metrics HTTP/1.1\r\n\r\n")
    return (await client.answer())[2].decode()


async def test_a_query_whose_client_has_gone_is_given_up() -> None:
    async with listening() as place:
        client = await place.connect()
        head = "GET /queries/TotalOf?counter_id=a HTTP/1.1\r\nHost: x\r\nTwofold-After: 99\r\nPrefer: wait=30\r\n\r\n"
        await client.send(head)
        progress = place.server.door.system.progress["Total"]
        async with asyncio.timeout(TIMEOUT_S):
            while not progress.waited_for:
                await asyncio.sleep(0.001)
            await client.close()
            while 'twofold_queries_total{code="cancelled",query="TotalOf"} 1.0' not in await metrics_of(place):
                await asyncio.sleep(0.01)
        assert not progress.waited_for


async def test_a_process_that_leaves_serves_on_without_being_ready_and_ends_its_connections() -> None:
    async with listening(dataclasses.replace(QUICK, drain_grace_s=30)) as place:
        staying = await place.connect()
        await staying.send("GET /readyz HTTP/1.1\r\n\r\n")
        assert (await staying.answer())[0] == 200
        place.server.should_exit = True
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                coming = await place.connect()
                await coming.send("GET /readyz HTTP/1.1\r\n\r\n")
                status, headers, _ = await coming.answer()
                if status == 503:
                    break
                await asyncio.sleep(0.01)
        assert headers["connection"] == "close"
        assert await coming.is_closed()
        await staying.send("GET /queries/Totals HTTP/1.1\r\n\r\n")
        status, headers, _ = await staying.answer()
        assert (status, headers["connection"]) == (200, "close")
        place.server.force_exit = True  # what a second Ctrl-C does


async def test_a_head_without_end_is_refused() -> None:
    async with listening(dataclasses.replace(QUICK, http_header_timeout_s=10)) as place:
        client = await place.connect()
        await client.send("GET /livez HTTP/1.1\r\n")
        for number in range(MAX_HEAD_BYTES // 1_000 + 10):
            try:
                await client.send(f"X-{number}: {'x' * 1_000}\r\n")
            except ConnectionError:
                break
        assert await client.problem() == (431, "head-too-large")


async def test_what_is_no_http_is_refused() -> None:
    async with listening() as place:
        for nonsense in (
            "nonsense\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "\x16\x03\x01\x02\x00",
            "GET http:// HTTP/1.1\r\n\r\n",
        ):
            client = await place.connect()
            await client.send(nonsense)
            assert await client.problem() == (400, "malformed-http")
            assert await client.is_closed()
        assert b'twofold_http_errors_total{code="malformed-http"} 4.0' in place.server.door.metrics.exposition()


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send(f"POST /commands/Count HTTP/1.1\r\n{JSON}Content-Length: 100\r\n\r\n{{")
        assert await client.problem() == (408, "body-timeout")


async def test_a_body_over_the_limit_is_answered_at_once_and_the_answer_arrives() -> None:
    large = b"x" * (QUICK.http_max_body_bytes + 1)
    async with listening() as place:
        client = await place.connect()
        await client.send(f"POST /commands/Count HTTP/1.1\r\n{JSON}Content-Length: {len(large)}\r\n\r\n")
        assert await client.problem() == (413, "body-too-large")
        async with LoadClient("127.0.0.1", place.port, connections=1) as sender:
            for _ in range(3):
                assert (await sender.request("POST", "/commands/Count", body=large)).status == 413
            assert (await sender.request("GET", "/livez")).status == 200


async def test_a_body_in_chunks_over_the_limit_is_refused() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send(f"POST /commands/Count HTTP/1.1\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(QUICK.http_max_body_bytes // 65_536 + 1):
            await client.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        assert await client.problem() == (413, "body-too-large")


async def test_a_client_that_goes_on_with_a_refused_body_for_ever_is_cut_off() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send(f"POST /commands/Count HTTP/1.1\r\n{JSON}Content-Length: 100000000000\r\n\r\n")
        assert await client.problem() == (413, "body-too-large")
        with pytest.raises((ConnectionError, RuntimeError)):  # uvloop calls a closed transport the latter
            await client.send_for_ever(b"x" * 10_000)


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_or_not_to() -> None:
    body = '{"counter_id": "a"}'
    head = f"{JSON}Expect: 100-continue\r\n"
    async with listening() as place:
        client = await place.connect()
        await client.send(f"POST /commands/OpenCounter HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n")
        assert (await client.answer())[0] == 100
        await client.send(body)
        assert (await client.answer())[0] == 200
        await client.send(f"POST /commands/OpenCounter HTTP/1.1\r\n{head}Content-Length: 2000000\r\n\r\n")
        assert await client.problem() == (413, "body-too-large")
        assert await client.is_closed()


async def test_requests_in_one_packet_are_answered_in_order() -> None:
    bodies = [f'{{"counter_id": "{name}"}}' for name in "abc"]
    requests = "".join(
        f"POST /commands/OpenCounter HTTP/1.1\r\n{JSON}Content-Length: {len(body)}\r\n\r\n{body}" for body in bodies
    )
    async with listening() as place:
        client = await place.connect()
        await client.send(requests)
        streams = [msgspec.json.decode((await client.answer())[2])["stream"] for _ in bodies]
        assert streams == ["counter-a", "counter-b", "counter-c"]


UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"


async def test_an_upgrade_that_nobody_speaks_is_answered_as_if_it_had_not_been_asked_for() -> None:
    body = '{"counter_id": "upgrade: a"}'
    async with listening() as place:
        client = await place.connect()
        for status in (200, 409):
            length = f"Content-Length: {len(body)}"
            await client.send(f"POST /commands/OpenCounter HTTP/1.1\r\n{JSON}{UPGRADE}{length}\r\n\r\n{body}")
            assert (await client.answer())[0] == status


async def test_after_an_upgrade_that_came_in_pieces_the_connection_is_closed() -> None:
    async with listening() as place:
        client = await place.connect()
        await client.send("GET /livez HTTP/1.1\r\nConnection: Upgrade\r\nUpgr")
        await asyncio.sleep(0.05)
        await client.send("ade: h2c\r\n\r\n")
        assert (await client.answer())[0] == 200
        assert await client.is_closed()


async def test_connections_over_the_limit_are_told_to_come_again() -> None:
    async with listening(dataclasses.replace(QUICK, http_max_connections=2, http_header_timeout_s=10)) as place:
        held = [await place.connect() for _ in range(2)]
        for client in held:
            await client.send("GET /livez HTTP/1.1\r\n\r\n")
            assert (await client.answer())[0] == 200
        refused = await place.connect()
        await refused.send("GET /livez HTTP/1.1\r\n\r\n")
        status, headers, body = await refused.answer()
        assert (status, msgspec.json.decode(body)["code"]) == (503, "overloaded")
        assert headers["retry-after"] == "1"
        assert await refused.is_closed()
        await held[0].close()
        await held[1].send("GET /livez HTTP/1.1\r\n\r\n")
        assert (await held[1].answer())[0] == 200
        taken = await place.connect()
        await taken.send("GET /livez HTTP/1.1\r\n\r\n")
        assert (await taken.answer())[0] == 200


async def test_a_client_that_does_not_read_its_answers_is_cut_off() -> None:
    async with listening() as place:
        client = await place.connect()
        request = b"GET /docs/docs.js HTTP/1.1\r\n\r\n" * 2_000
        await client.send(request)
        async with asyncio.timeout(TIMEOUT_S):
            while place.server.server_state.connections:
                await asyncio.sleep(0.02)
