"""One client's connection, on uvicorn's httptools protocol, with the limits that uvicorn leaves out.

Looking costs nothing per request: a guard looks at all connections a few times a second, and a connection that has not
got anywhere between two looks is known by its request cycle, which is a new object for every request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from twofold.errors import OverloadedError, TwofoldError
from twofold.http.answers import Receive, Scope, Send
from twofold.http.problems import HeadTimeoutError, HeadTooLargeError, MalformedHttpError, problem_answer
from twofold.settings import Settings

__all__ = ["MAX_HEAD_BYTES", "Connection", "Guard", "Limits"]

MAX_HEAD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may do, and where its problems are counted."""

    head_timeout_s: float
    stall_timeout_s: float
    max_connections: int
    on_problem: Callable[[str], None]

    @classmethod
    def of(cls, settings: Settings, on_problem: Callable[[str], None]) -> Limits:
        head_s, body_s = settings.http_header_timeout_s, settings.http_body_timeout_s
        return cls(head_s, body_s, settings.http_max_connections, on_problem)


class Connection(HttpToolsProtocol):
    """Refuses heads without end, and whatever comes in when there are too many connections."""

    limits: Limits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._last_cycle: object = None
        self._whole_cycle: object = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self.app = self._too_many  # pyright: ignore[reportAttributeAccessIssue] - an ASGI app, loosely typed

    def data_received(self, data: bytes) -> None:
        if b"pgrade" in data and self._between_requests:
            data = _without_upgrade(data)
        super().data_received(data)
        if self.cycle is not self._last_cycle:
            self._last_cycle, self._head_bytes = self.cycle, 0
        elif self.in_head and self._whole_cycle is self.cycle:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.refuse(HeadTooLargeError(MAX_HEAD_BYTES))

    def on_message_complete(self) -> None:
        self._whole_cycle = self.cycle
        super().on_message_complete()

    @property
    def _between_requests(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is None or cycle.response_complete

    @property
    def in_head(self) -> bool:
        """Whether the client owes the rest of a request's head, or the rest of a body that was refused unread."""
        return self._between_requests and self.timeout_keep_alive_task is None and not self.transport.is_closing()

    @property
    def takes_nothing(self) -> bool:
        """Whether an answer waits for the client to read it."""
        return self.flow.write_paused or (self.transport.is_closing() and self.transport.get_write_buffer_size() > 0)

    def refuse(self, error: TwofoldError) -> None:
        """Answer with the problem and close: what else comes in on this connection can't be trusted."""
        if self.transport.is_closing():
            return
        answer = problem_answer(error)
        self.limits.on_problem(answer.code)
        lines = [b"%b: %b\r\n" % header for header in [*answer.headers, (b"connection", b"close")]]
        self.transport.write(b"".join([STATUS_LINE[answer.status], *lines, b"\r\n", answer.body]))
        self.transport.close()

    def cut_off(self) -> None:
        """Close; with a problem when it was in the middle of a head (and not before one, or in a refused body)."""
        if self._head_bytes:
            self.refuse(HeadTimeoutError(self.limits.head_timeout_s))
        else:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """The parser reads nothing more after an upgrade that it saw, so neither may the client send any more."""
        self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        self.refuse(MalformedHttpError())

    async def _too_many(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = problem_answer(OverloadedError("connections", self.limits.max_connections))
        self.limits.on_problem(answer.code)
        headers = [*answer.headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


_UPGRADE = re.compile(rb"(?im)^upgrade(?=\s*:)")


def _without_upgrade(data: bytes) -> bytes:
    """The head without its wish to speak something else, which is ours to ignore (RFC 9110, 7.8).

    Java's client wishes for h2c in every first request, and a parser that sees it takes the body for that protocol.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"x-upgrade", head) + end + body


class Guard:
    """Cuts off connections that stand still: in a request's head, or with an answer that they don't read."""

    def __init__(self, connections: set[Connection], limits: Limits) -> None:
        self._connections, self._limits = connections, limits
        self._heads: dict[Connection, tuple[object, float]] = {}
        self._stalls: dict[Connection, tuple[object, float]] = {}

    async def watch(self) -> None:
        """Look until cancelled."""
        pause_s = min(1.0, self._limits.head_timeout_s / 4, self._limits.stall_timeout_s / 4)
        while True:
            await asyncio.sleep(pause_s)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        connections = list(self._connections)
        self._heads = self._still([each for each in connections if each.in_head], self._heads, now)
        self._stalls = self._still([each for each in connections if each.takes_nothing], self._stalls, now)
        for connection, (_, since) in self._heads.items():
            if now - since >= self._limits.head_timeout_s:
                connection.cut_off()
        for connection, (_, since) in self._stalls.items():
            if now - since >= self._limits.stall_timeout_s:
                connection.transport.abort()

    def _still(
        self, connections: list[Connection], before: dict[Connection, tuple[object, float]], now: float
    ) -> dict[Connection, tuple[object, float]]:
        """Since when each connection stands where it does; a new cycle means that it has moved meanwhile."""
        found: dict[Connection, tuple[object, float]] = {}
        for each in connections:
            cycle, since = before.get(each, (None, now))
            found[each] = (each.cycle, since if cycle is each.cycle and each in before else now)
        return found
