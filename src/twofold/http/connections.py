"""One client's connection: uvicorn's httptools protocol with a shorter way out, and the limits that it leaves open.

An answer is a value, written at once, at half of what ASGI's messages cost. Limits in time cost nothing per request: a
guard looks at all connections a few times a second, and one that has not got anywhere between two looks is known by
its request cycle, which is a new object for every request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from twofold.errors import OverloadedError, TwofoldError
from twofold.http.answers import Answer, Receive, Scope
from twofold.http.problems import HeadTimeoutError, HeadTooLargeError, MalformedHttpError, problem_answer
from twofold.settings import Settings

__all__ = ["MAX_HEAD_BYTES", "Connection", "Guard", "Limits"]

MAX_HEAD_BYTES = 65_536
KEEP_ALIVE_S = 75.0
"""How long an idle connection is kept: longer than usual load balancers keep theirs, so that they close it, not we."""

Respond = Callable[[Scope, Receive], Awaitable[Answer | None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may do, and where its problems are counted."""

    head_timeout_s: float
    stall_timeout_s: float
    max_connections: int
    on_problem: Callable[[str], None]
    keep_alive_s: float = KEEP_ALIVE_S

    @classmethod
    def of(cls, settings: Settings, on_problem: Callable[[str], None]) -> Limits:
        head_s, body_s = settings.http_header_timeout_s, settings.http_body_timeout_s
        return cls(head_s, body_s, settings.http_max_connections, on_problem)


class Connection(HttpToolsProtocol):
    """Refuses heads without end, and whatever comes in when there are too many connections.

    A subclass names the limits, and what responds: a function from scope and receive to the answer, None for none.
    """

    limits: Limits
    respond: Respond

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._last_cycle: object = None
        self._whole_cycle: object = None
        self._head_bytes = 0
        self._task: asyncio.Task[None] | None = None

    # --- what comes in ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self.respond = self._too_many

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for the answer any more: what is not begun is not done, and a query that is under way ends."""
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if b"pgrade" in data and self._is_between_requests:
            data = _without_upgrade(data)
        owed_body = self._owes_body
        super().data_received(data)
        if self.cycle is not self._last_cycle:
            self._last_cycle, self._head_bytes = self.cycle, 0
        elif self._is_between_requests and not owed_body:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.refuse(HeadTooLargeError(MAX_HEAD_BYTES))

    def on_message_complete(self) -> None:
        self._whole_cycle = self.cycle
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """The parser reads nothing more after an upgrade that it saw, so neither may the client send any more."""
        self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Called for bytes that are no HTTP. A request before them that is whole is answered all the same."""
        if self._is_between_requests or self._owes_body:
            self.refuse(MalformedHttpError())
        else:
            self.cycle.keep_alive = False

    # --- what goes out ---

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: object) -> None:
        self._task = task = self.loop.create_task(self._serve(cycle))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, cycle: RequestResponseCycle) -> None:
        try:
            answer = await self.respond(cast("Scope", cycle.scope), cast("Receive", cycle.receive))
            if self.flow.write_paused:
                await self.flow.drain()
            if answer is not None and not self.transport.is_closing():
                self._write(answer, keep_alive=cycle.keep_alive and not answer.closes)
                cycle.response_started = cycle.response_complete = True
                self.on_response_complete()
        finally:
            if not cycle.response_complete:
                self.transport.close()

    def _write(self, answer: Answer, *, keep_alive: bool) -> None:
        lines = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        lines += [b"%b: %b\r\n" % header for header in answer.headers]
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[answer.status], b"".join(lines), answer.body))
        if not keep_alive:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Go on to a request that came in meanwhile. The guard, and not a timer of each, closes what stays idle."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())

    def refuse(self, error: TwofoldError) -> None:
        """Answer with the problem and close: what else comes in on this connection can't be trusted."""
        if not self.transport.is_closing():
            answer = problem_answer(error)
            self.limits.on_problem(answer.code)
            self._write(answer, keep_alive=False)

    async def _too_many(self, scope: Scope, receive: Receive) -> Answer:
        answer = problem_answer(OverloadedError("connections", self.limits.max_connections))
        self.limits.on_problem(answer.code)
        return answer._replace(closes=True)

    # --- what the guard sees ---

    @property
    def _is_between_requests(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is None or cycle.response_complete

    @property
    def _owes_body(self) -> bool:
        """Whether the last request's body has not come in full; it may have been refused unread."""
        return self._whole_cycle is not self.cycle

    @property
    def owes_request(self) -> bool:
        """Whether the client has yet to send its first request, the rest of a head, or the rest of a refused body."""
        begun = self._head_bytes > 0 or self._last_cycle is None or self._owes_body
        return begun and self._is_between_requests and not self.transport.is_closing()

    @property
    def is_idle(self) -> bool:
        return self._is_between_requests and not self.transport.is_closing()

    @property
    def takes_nothing(self) -> bool:
        """Whether an answer waits for the client to read it."""
        return self.flow.write_paused or (self.transport.is_closing() and self.transport.get_write_buffer_size() > 0)

    def cut_off(self) -> None:
        """Close; with a problem when it was in the middle of a head (and not before one, or in a refused body)."""
        if self._head_bytes:
            self.refuse(HeadTimeoutError(self.limits.head_timeout_s))
        else:
            self.transport.close()


_UPGRADE = re.compile(rb"(?im)^upgrade(?=\s*:)")


def _without_upgrade(data: bytes) -> bytes:
    """The head without its wish to speak something else, which is ours to ignore (RFC 9110, 7.8).

    Java's client wishes for h2c in every first request, and a parser that sees it takes the body for that protocol.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"x-upgrade", head) + end + body


class _Still:
    """Since when connections are in a state that they should not stay in; a new cycle means that one has moved."""

    def __init__(self, is_in_it: Callable[[Connection], bool]) -> None:
        self._is_in_it = is_in_it
        self._since: dict[Connection, tuple[object, float]] = {}

    def longer_than(self, seconds: float, connections: list[Connection], now: float) -> list[Connection]:
        before, self._since = self._since, {}
        for each in filter(self._is_in_it, connections):
            cycle, since = before.get(each, (each.cycle, now))
            self._since[each] = (each.cycle, since if cycle is each.cycle else now)
        return [each for each, (_, since) in self._since.items() if now - since >= seconds]


class Guard:
    """Cuts off connections that stand still: in a request's head, with an answer that they don't read, or just idle."""

    def __init__(self, connections: set[Connection], limits: Limits) -> None:
        self._connections, self._limits = connections, limits
        self._owing = _Still(lambda each: each.owes_request)
        self._stalled = _Still(lambda each: each.takes_nothing)
        self._idle = _Still(lambda each: each.is_idle)

    async def watch(self) -> None:
        """Look until cancelled."""
        pause_s = min(1.0, self._limits.head_timeout_s / 4, self._limits.stall_timeout_s / 4)
        while True:
            await asyncio.sleep(pause_s)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        connections = list(self._connections)
        for each in self._owing.longer_than(self._limits.head_timeout_s, connections, now):
            each.cut_off()
        for each in self._stalled.longer_than(self._limits.stall_timeout_s, connections, now):
            each.transport.abort()
        for each in self._idle.longer_than(self._limits.keep_alive_s, connections, now):
            each.transport.close()
