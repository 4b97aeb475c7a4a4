"""Load over HTTP/1.1: many requests on few kept-alive connections, for benchmarks, demos and fault tests.

Nothing is ever sent twice. A request without a complete answer raises, and the error says whether the server can have
seen it: `NeverSentError` (it can't) or `UnknownOutcomeError` (it may have taken effect).
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self, cast

__all__ = ["LoadClient", "NeverSentError", "NoAnswerError", "Response", "Summary", "UnknownOutcomeError", "drive"]

HEAD_END = b"\r\n\r\n"
LINE_END = b"\r\n"
MAX_HEAD_BYTES = 65_536


class NoAnswerError(ConnectionError):
    """A request got no complete answer."""


class NeverSentError(NoAnswerError):
    """No connection could be made: not a byte of the request left, so it has failed for certain."""


class UnknownOutcomeError(NoAnswerError):
    """The request was sent, and the connection broke or the time ran out before the answer: it may have worked."""


class MalformedAnswerError(ValueError):
    """Bytes arrived that are no HTTP/1.1 answer."""


class Response:
    """One answer. Header names are in lower case; of a repeated header the last value counts."""

    __slots__ = ("_head", "_headers", "body", "status")

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.body = body
        self._head = head
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Parsed on first use: most load looks at the status alone."""
        if self._headers is None:
            lines = self._head.decode("latin-1").split("\r\n")[1:]
            pairs = (line.partition(":") for line in lines)
            self._headers = {name.strip().lower(): value.strip() for name, _, value in pairs if name}
        return self._headers

    def __repr__(self) -> str:
        return f"Response(status={self.status}, body={self.body[:200]!r})"


class _Parser:
    """Bytes to one answer at a time; the usual answer (one piece, with Content-Length) takes the short way."""

    __slots__ = ("_body_start", "_buffer", "_chunks", "_head", "_length", "closes", "without_body")

    def __init__(self) -> None:
        self.reset(without_body=False)

    def reset(self, *, without_body: bool) -> None:
        self.without_body = without_body
        self.closes = False
        self._buffer = b""
        self._head: bytes | None = None
        self._body_start = 0
        self._length: int | None = None
        self._chunks: list[bytes] | None = None

    def feed(self, data: bytes) -> Response | None:
        """The answer once it is whole; None while more is needed."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._head is None:
            if not self._read_head():
                return None
        if self._chunks is not None:
            return self._read_chunks(self._chunks)
        if self._length is None or len(self._buffer) - self._body_start < self._length:
            return None
        return self._finish(self._body_start + self._length)

    def end(self) -> Response | None:
        """What the end of the connection completes: an answer without a length, and nothing else."""
        if self._head is None or self._length is not None or self._chunks is not None:
            return None
        return self._finish(len(self._buffer))

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise MalformedAnswerError(f"no end of the headers within {MAX_HEAD_BYTES} bytes")
            return False
        head = self._buffer[:end]
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise MalformedAnswerError(f"not a status line: {head[:60]!r}")
        if head[9:10] == b"1":  # an interim answer (100 Continue): the real one follows
            self._buffer = self._buffer[end + 4 :]
            return True
        self._head, self._body_start = head, end + 4
        self._read_framing(head)
        return True

    def _read_framing(self, head: bytes) -> None:
        lowered = head.lower()
        self.closes = b"\r\nconnection: close" in lowered or lowered.startswith(b"http/1.0")
        if self.without_body or head[9:12] in (b"204", b"304"):
            self._length = 0
        elif (start := lowered.find(b"\r\ncontent-length:")) >= 0:
            stop = lowered.find(LINE_END, start + 17)
            value = lowered[start + 17 : stop if stop > 0 else None].strip()
            if not value.isdigit():
                raise MalformedAnswerError(f"not a Content-Length: {value[:60]!r}")
            self._length = int(value)
        elif b"\r\ntransfer-encoding: chunked" in lowered:
            self._chunks = []
        else:
            self.closes = True

    def _read_chunks(self, chunks: list[bytes]) -> Response | None:
        while True:
            line_end = self._buffer.find(LINE_END, self._body_start)
            if line_end < 0:
                return None
            size = _chunk_size(self._buffer[self._body_start : line_end])
            if size == 0:
                return self._read_trailer(line_end)
            start = line_end + 2
            if len(self._buffer) < start + size + 2:
                return None
            chunks.append(self._buffer[start : start + size])
            self._body_start = start + size + 2

    def _read_trailer(self, last_line: int) -> Response | None:
        end = self._buffer.find(HEAD_END, last_line)
        return None if end < 0 else self._finish(end + 4)

    def _finish(self, end: int) -> Response:
        if len(self._buffer) != end:
            raise MalformedAnswerError(f"{len(self._buffer) - end} bytes after the end of the answer")
        head = self._head or b""
        body = self._buffer[self._body_start : end] if self._chunks is None else b"".join(self._chunks)
        return Response(int(head[9:12]), head, body)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError as error:
        raise MalformedAnswerError(f"not a chunk size: {line[:60]!r}") from error


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way.

    Its timer is moved lazily: it fires once per `timeout_s`, not once per request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.idle = False
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._timeout_s = timeout_s
        self._parser = _Parser()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports derive from nothing
        self.idle = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost before the whole answer ({exc or 'closed by the server'})")
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            self.lost.set_result(None)

    def eof_received(self) -> None:
        self._settle(self._parser.end())
        self.idle = False

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:  # nothing was asked, so the rest can't be trusted either
            self.close()
            return
        try:
            self._settle(self._parser.feed(data))
        except MalformedAnswerError as error:
            self._fail(str(error))

    def exchange(self, wire: bytes) -> asyncio.Future[Response]:
        """Send one prepared request; the future has its answer or `UnknownOutcomeError`."""
        assert self._transport is not None
        self.idle = False
        self._waiter = waiter = self._loop.create_future()
        self._parser.reset(without_body=wire.startswith(b"HEAD "))
        self._deadline = self._loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        self._transport.write(wire)
        return waiter

    def close(self) -> None:
        self.idle = False
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, response: Response | None) -> None:
        waiter = self._waiter
        if response is None or waiter is None:
            return
        self._waiter = None
        if self._parser.closes:
            self.close()
        else:
            self.idle = True
        if not waiter.done():
            waiter.set_result(response)

    def _fail(self, reason: str) -> None:
        waiter, self._waiter = self._waiter, None
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(UnknownOutcomeError(reason))

    def _check_deadline(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        else:
            self._fail(f"no whole answer within {self._timeout_s} s")


class LoadClient:
    """At most `connections` kept-alive connections to one server, opened when needed and again after a loss.

    `timeout_s` bounds the connecting, and from the sending to the last byte of the answer.
    """

    def __init__(self, host: str, port: int, *, connections: int = 64, timeout_s: float = 10.0) -> None:
        if connections < 1 or timeout_s <= 0:
            raise ValueError(f"connections={connections} and timeout_s={timeout_s} must be positive")
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(connections)
        self._free: list[_Connection] = []
        self._open: set[_Connection] = set()
        authority = f"[{host}]" if ":" in host else host
        self._host_line = f"Host: {authority}:{port}\r\n"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connections = list(self._open)
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([connection.lost for connection in connections], timeout=self._timeout_s)

    def prepare(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """A request's bytes, to be sent as often as wanted. A body is JSON unless a header says otherwise."""
        lines = [f"{method} {path} HTTP/1.1\r\n", self._host_line]
        lines += [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
        if body is not None:
            if not any(name.lower() == "content-type" for name in headers or {}):
                lines.append("Content-Type: application/json\r\n")
            lines.append(f"Content-Length: {len(body)}\r\n")
        return "".join([*lines, "\r\n"]).encode("latin-1") + (body or b"")

    async def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One request and its answer. Raises `NeverSentError` or `UnknownOutcomeError`."""
        return await self.send(self.prepare(method, path, body=body, headers=headers))

    async def send(self, wire: bytes) -> Response:
        """One prepared request and its answer, as soon as a connection is free."""
        async with self._slots:
            connection = self._take() or await self._connect()
            try:
                return await connection.exchange(wire)
            finally:
                if connection.idle:
                    self._free.append(connection)
                else:  # lost, or given up by its caller: a late answer must not meet the next request
                    connection.close()

    def _take(self) -> _Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.idle and not connection.lost.done():
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                make = partial(_Connection, loop, self._timeout_s)
                _, connection = await loop.create_connection(make, self._host, self._port)
        except OSError as error:
            raise NeverSentError(f"no connection to {self._host}:{self._port}: {error}") from error
        self._open.add(connection)
        connection.lost.add_done_callback(lambda _: self._open.discard(connection))
        return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a load did: answers by status, requests without answer, and latencies of the answered ones."""

    seconds: float
    statuses: Mapping[int, int]
    never_sent: int
    unknown: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def answers(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate_per_s(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0


OnAnswer = Callable[[bytes, Response | NoAnswerError], None]


class _Tally:
    def __init__(self, on_answer: OnAnswer | None) -> None:
        self.statuses: Counter[int] = Counter()
        self.latencies_s = array("d")
        self.never_sent = 0
        self.unknown = 0
        self._on_answer = on_answer

    def add(self, wire: bytes, outcome: Response | NoAnswerError, seconds: float) -> None:
        match outcome:
            case Response(status=status):
                self.statuses[status] += 1
                self.latencies_s.append(seconds)
            case NeverSentError():
                self.never_sent += 1
            case _:
                self.unknown += 1
        if self._on_answer is not None:
            self._on_answer(wire, outcome)

    def summary(self, seconds: float) -> Summary:
        ordered = sorted(self.latencies_s)

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0

        return Summary(
            seconds=seconds,
            statuses=dict(self.statuses),
            never_sent=self.never_sent,
            unknown=self.unknown,
            p50_ms=at(0.5),
            p99_ms=at(0.99),
            max_ms=at(1.0),
        )


async def drive(
    client: LoadClient, requests: Iterable[bytes], in_flight: int, *, on_answer: OnAnswer | None = None
) -> Summary:
    """Send all `requests` (made by `client.prepare`), `in_flight` at a time, and measure.

    Requests without an answer are counted, not raised; `on_answer` sees each request with its outcome. The iterable is
    drawn from as connections come free, so it may be lazy.
    """
    tally = _Tally(on_answer)
    shared = iter(requests)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(in_flight):
            workers.create_task(_work(client, shared, tally))
    return tally.summary(time.perf_counter() - started)


async def _work(client: LoadClient, requests: Iterator[bytes], tally: _Tally) -> None:
    for wire in requests:
        started = time.perf_counter()
        outcome: Response | NoAnswerError
        try:
            outcome = await client.send(wire)
        except NoAnswerError as error:
            outcome = error
        tally.add(wire, outcome, time.perf_counter() - started)
