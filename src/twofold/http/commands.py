"""Commands over HTTP: `POST /commands/{CommandName}` with the command's fields as JSON."""

from __future__ import annotations

import msgspec

from twofold.application import Application, CommandType
from twofold.errors import InvalidKeyError
from twofold.http.answers import Answer, Receive
from twofold.http.headers import Conversation, Headers, check_json, command_id, expected_version, timeout_s
from twofold.http.limits import Bodies
from twofold.http.problems import MethodNotAllowedError, problem_answer
from twofold.messages import Metadata
from twofold.runtime.lanes import Accepted
from twofold.runtime.lifecycle import System
from twofold.trace_context import TraceContext

__all__ = ["COMMAND_METHODS", "CommandDone", "Commands"]

COMMAND_METHODS = "POST, OPTIONS"
_JSON = (b"content-type", b"application/json")
_COOKIE = b"twofold-position=%d; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
_REPLAYED = (b"idempotent-replayed", b"true")
_NO_TRACE = TraceContext("")


class CommandDone(msgspec.Struct, gc=False):
    """A command that is done and durable: its stream, the stream's version, the position of its last event."""

    stream: str
    version: int
    position: int
    events: tuple[str, ...]


_encode = msgspec.json.Encoder().encode


class Commands:
    """Takes commands from HTTP to the system, and its answers back."""

    def __init__(self, app: Application, bodies: Bodies, cookie: bool) -> None:
        """With `cookie`, browsers are told the position in one, to be sent with their next queries."""
        self._app, self._bodies, self._cookie = app, bodies, cookie

    def named(self, name: str) -> CommandType:
        return self._app.commands.get(name) or self._app.command_named(name)

    async def answer(
        self, system: System, name: str, method: str, headers: Headers, talk: Conversation, receive: Receive
    ) -> Answer:
        kind = self.named(name)
        if method != "POST":
            raise MethodNotAllowedError(method, COMMAND_METHODS)
        check_json(headers)
        command = kind.codec.decode(await self._bodies.read(headers, receive))
        try:
            accepted = await system.send(
                command,
                command_id=command_id(headers),
                expected_version=expected_version(headers),
                metadata=_metadata(talk),
                timeout_s=timeout_s(headers),
            )
        except InvalidKeyError as error:
            return problem_answer(error, pointer=f"/{kind.handler.aggregate.key}")
        return _done(accepted, self._cookie)


def _metadata(talk: Conversation) -> Metadata:
    """A command without a name of its own takes that of the conversation that it begins."""
    trace = talk.trace or _NO_TRACE
    return Metadata(
        command_id="" if talk.was_brought else talk.correlation_id,
        correlation_id=talk.correlation_id,
        causation_id=talk.causation_id,
        traceparent=trace.traceparent,
        tracestate=trace.tracestate,
    )


def _done(accepted: Accepted, cookie: bool) -> Answer:
    stream, version, position = accepted.stream, accepted.version, accepted.position
    events, replayed = accepted.events, accepted.replayed
    body = _encode(CommandDone(str(stream), version, position, tuple([type(each).stored_name for each in events])))
    headers = [
        _JSON,
        (b"content-length", b"%d" % len(body)),
        (b"etag", b'"%d"' % version),
        (b"twofold-position", b"%d" % position),
    ]
    if cookie:
        headers.append((b"set-cookie", _COOKIE % position))
    if replayed:
        headers.append(_REPLAYED)
    return Answer(200, headers, body, position=position)
