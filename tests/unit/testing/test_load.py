"""The load client against real sockets whose server answers byte for byte as told, on asyncio and on uvloop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import pytest

from twofold.testing.load import LoadClient, NeverSentError, NoAnswerError, Response, UnknownOutcomeError, drive

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def served(serve: Serve, *, timeout_s: float = 5.0, connections: int = 4) -> AsyncIterator[LoadClient]:
    handlers: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with LoadClient("127.0.0.1", port, timeout_s=timeout_s, connections=connections) as client:
            yield client
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*(task for task in handlers if task)), timeout=5)


def answering(*pieces: bytes, then_close: bool = False) -> Serve:
    """Every request gets these pieces, each in its own packet where the kernel allows."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if then_close:
                break

    return serve


async def read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


async def test_an_answer_has_status_lower_case_headers_and_body() -> None:
    async with served(answering(b'HTTP/1.1 409 Conflict\r\nETag: "2"\r\nContent-Length: 5\r\n\r\nthere')) as client:
        response = await client.request("GET", "/")
    assert (response.status, response.body) == (409, b"there")
    assert response.headers == {"etag": '"2"', "content-length": "5"}


async def test_a_request_carries_its_method_path_headers_and_body() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(sent), sent))

    async with served(serve) as client:
        response = await client.request("POST", "/commands/BuyNow", body=b"{}", headers={"Idempotency-Key": "k1"})
    head, _, body = response.body.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /commands/BuyNow HTTP/1.1"
    assert {b"Idempotency-Key: k1", b"Content-Type: application/json", b"Content-Length: 2"} < set(lines)
    assert body == b"{}"


async def test_a_content_type_of_the_caller_replaces_json() -> None:
    wire = LoadClient("127.0.0.1", 80).prepare("POST", "/", body=b"x", headers={"content-type": "text/plain"})
    assert wire.lower().count(b"content-type") == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [OK],
        [bytes([byte]) for byte in OK],
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r", b"\nh", b"i\r\n0\r\nTrailer: 1\r\n", b"\r\n"],
    ],
    ids=["whole", "byte by byte", "after an interim answer", "chunked", "chunked in pieces with a trailer"],
)
async def test_an_answer_may_come_in_any_pieces_and_the_connection_lives_on(pieces: list[bytes]) -> None:
    async with served(answering(*pieces), connections=1) as client:
        assert [(await client.request("GET", "/")).body for _ in range(3)] == [b"hi"] * 3


async def test_an_answer_without_a_length_ends_with_its_connection_and_the_next_request_reconnects() -> None:
    async with served(answering(b"HTTP/1.1 200 OK\r\n\r\nhi", then_close=True), connections=1) as client:
        assert [(await client.request("GET", "/")).body for _ in range(2)] == [b"hi"] * 2


async def test_answers_without_a_body_need_no_length() -> None:
    async with served(answering(b"HTTP/1.1 204 No Content\r\n\r\n"), connections=1) as client:
        assert [(await client.request("GET", "/")).status for _ in range(2)] == [204] * 2
    async with served(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"), connections=1) as client:
        assert [(await client.request("HEAD", "/")).body for _ in range(2)] == [b""] * 2


async def test_a_connection_that_the_server_gave_notice_of_closing_is_not_used_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with served(answering(answer, then_close=True), connections=1) as client:
        assert [(await client.request("GET", "/")).status for _ in range(3)] == [200] * 3


async def test_a_refused_connection_means_never_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port meanwhile
        async with LoadClient("127.0.0.1", bound.getsockname()[1]) as client:
            with pytest.raises(NeverSentError, match="no connection to"):
                await client.request("GET", "/")


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"]
)
async def test_a_connection_lost_before_the_whole_answer_is_an_unknown_outcome(part: bytes) -> None:
    async with served(answering(part, then_close=True)) as client:
        with pytest.raises(UnknownOutcomeError, match="lost before the whole answer"):
            await client.request("POST", "/", body=b"{}")


async def test_a_server_that_stays_silent_is_an_unknown_outcome_after_the_timeout() -> None:
    async with served(answering(b""), timeout_s=0.05) as client:
        with pytest.raises(UnknownOutcomeError, match=r"within 0\.05 s"):
            await client.request("GET", "/")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK + b"more",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    ],
    ids=["no HTTP", "length", "chunk size", "more than one answer", "endless headers"],
)
async def test_nonsense_from_the_server_is_an_unknown_outcome(nonsense: bytes) -> None:
    async with served(answering(nonsense)) as client:
        with pytest.raises(UnknownOutcomeError):
            await client.request("GET", "/")


async def test_a_late_answer_never_meets_another_request() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while sent := await read_request(reader):
            if b"/slow" in sent:
                arrived.set()
                await release.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + sent[4:9])

    async with served(serve, connections=1) as client:
        slow = asyncio.create_task(client.request("GET", "/slow"))
        await arrived.wait()
        slow.cancel()
        await asyncio.wait([slow])
        release.set()
        assert (await client.request("GET", "/fast")).body == b"/fast"


async def test_requests_wait_for_a_free_connection() -> None:
    peers: set[int] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername")[1])
        await answering(OK)(reader, writer)

    async with served(serve, connections=2) as client:
        await asyncio.gather(*(client.request("GET", "/") for _ in range(20)))
    assert len(peers) == 2


async def test_drive_counts_answers_by_status_and_measures() -> None:
    seen: list[int] = []

    def note(wire: bytes, outcome: Response | NoAnswerError) -> None:
        assert isinstance(outcome, Response)
        seen.append(int(wire.split()[1][1:]))

    async with served(answering(OK)) as client:
        requests = (client.prepare("GET", f"/{number}") for number in range(50))
        summary = await drive(client, requests, 4, on_answer=note)
    assert summary.statuses == {200: 50}
    assert (summary.answers, summary.unknown, summary.never_sent) == (50, 0, 0)
    assert 0 < summary.p50_ms <= summary.p99_ms <= summary.max_ms <= summary.seconds * 1000
    assert summary.rate_per_s == pytest.approx(50 / summary.seconds)
    assert sorted(seen) == list(range(50))


async def test_drive_tells_unknown_from_never_sent_and_goes_on() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with served(serve) as client:
        summary = await drive(client, [client.prepare("GET", "/")] * 10, 2)
    assert (summary.answers, summary.unknown, summary.never_sent) == (0, 10, 0)
    async with served(serve) as client:
        pass
    summary = await drive(client, [client.prepare("GET", "/")] * 10, 2)
    assert (summary.answers, summary.unknown, summary.never_sent) == (0, 0, 10)
