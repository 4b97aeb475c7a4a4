"""Request headers with a meaning: read from the bytes as they came, each with its own error when it has none."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from twofold.errors import InvalidCommandIdError
from twofold.http.answers import Header
from twofold.http.problems import InvalidHeaderError, UnsupportedMediaTypeError
from twofold.trace_context import TraceContext

__all__ = [
    "MAX_WAIT_S",
    "Conversation",
    "Headers",
    "by_name",
    "check_json",
    "command_id",
    "conversation",
    "cookie_position",
    "expected_version",
    "timeout_s",
    "wait_s",
    "wanted_position",
]

Headers = Mapping[bytes, bytes]

MAX_WAIT_S = 30.0
"""Longest wait for a wanted position that a client may ask for."""

_MAX_ID = 200
_CORRELATION = (b"twofold-correlation-id", b"x-correlation-id")
_CAUSATION = (b"twofold-causation-id", b"x-causation-id")
_TRACE = (b"traceparent", b"tracestate")
_TALK = frozenset((*_CORRELATION, *_CAUSATION, _TRACE[0]))
_ENTITY_TAG = re.compile(rb'(?:W/)?"(\d{1,18})"')
_POSITION = re.compile(rb"\d{1,18}")
_COOKIE = re.compile(rb"(?:^|[;,])\s*twofold-position=(\d{1,18})\s*(?=$|[;,])")
_WAIT = re.compile(rb"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)
_TIMEOUT = re.compile(rb"\d{1,9}(?:\.\d{1,9})?")
_JSON = re.compile(rb'\s*application/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)


def by_name(headers: Sequence[Header]) -> dict[bytes, bytes]:
    """Headers by their lower-case names; a repeated one is one value with commas (RFC 9110, 5.2)."""
    found = dict(headers)
    if len(found) == len(headers):
        return found
    merged: dict[bytes, bytes] = {}
    for name, value in headers:
        merged[name] = merged[name] + b", " + value if name in merged else value
    return merged


def check_json(headers: Headers) -> None:
    """UnsupportedMediaTypeError unless the body says that it is JSON in UTF-8.

    A missing type is refused too: it is what a browser may send to any site without asking (CORS).
    """
    declared = headers.get(b"content-type")
    if declared != b"application/json" and not _JSON.fullmatch(declared or b""):
        raise UnsupportedMediaTypeError(declared.decode("latin-1")[:100] if declared else "of no declared type")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMediaTypeError("compressed")


def command_id(headers: Headers) -> str | None:
    value = headers.get(b"idempotency-key")
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidCommandIdError(value.decode("latin-1")) from None


def expected_version(headers: Headers) -> int | None:
    value = headers.get(b"if-match")
    if value is None:
        return None
    found = _ENTITY_TAG.fullmatch(value.strip())
    if found is None:
        raise InvalidHeaderError("If-Match", value.decode("latin-1"), 'one version in quotes, as in ETag: "3"')
    return int(found[1])


def wanted_position(headers: Headers) -> int | None:
    value = headers.get(b"twofold-after")
    if value is None:
        return None
    if not _POSITION.fullmatch(value.strip()):
        raise InvalidHeaderError("Twofold-After", value.decode("latin-1"), "a position, as in Twofold-Position: 17")
    return int(value)


def cookie_position(headers: Headers) -> int | None:
    """The position of the browser's last command. What is none is no wish: a browser sends what it was given."""
    value = headers.get(b"cookie")
    found = _COOKIE.search(value) if value else None
    return int(found[1]) if found else None


def wait_s(headers: Headers) -> float | None:
    """How long the client would wait for its position, at most 30 s. What can't be read is no preference (RFC 7240)."""
    value = headers.get(b"prefer")
    found = _WAIT.search(value) if value else None
    return min(float(found[1]), MAX_WAIT_S) if found else None


def timeout_s(headers: Headers) -> float | None:
    """How long the client waits for its answer: what is not begun by then need not be begun.

    Named as in draft-thomson-hybi-http-timeout, where it counts whole seconds; parts of one are legal here.
    """
    value = headers.get(b"request-timeout")
    if value is None:
        return None
    if not _TIMEOUT.fullmatch(value.strip()):
        raise InvalidHeaderError("Request-Timeout", value.decode("latin-1"), "seconds, as in Request-Timeout: 2.5")
    return float(value)


class Conversation(NamedTuple):
    """What a request belongs to. `echo` is the header that tells the client its correlation id.

    `was_brought` is False for an id that was made here. `trace` is the request's place in a trace.
    """

    correlation_id: str
    echo: Header
    was_brought: bool = False
    causation_id: str = ""
    trace: TraceContext | None = None

    @classmethod
    def new(cls, headers: Headers) -> Conversation:
        """Of a request that names none: its command id does, as in the events, or an id made up."""
        key = headers.get(b"idempotency-key")
        if key is not None and _is_id(text := key.decode("latin-1")):
            return cls(text, (_CORRELATION[-1], key))
        made = os.urandom(16).hex()
        return cls(made, (_CORRELATION[-1], made.encode()))


def conversation(headers: Headers) -> Conversation:
    """The conversation that the headers name, or a new one; InvalidHeaderError for ids that can't be recorded.

    A place in a trace that is not written as the W3C says is none, which is no error.
    """
    if _TALK.isdisjoint(headers):
        return Conversation.new(headers)
    correlation, cause = _first(headers, _CORRELATION), _first(headers, _CAUSATION)
    if correlation is None:
        found = Conversation.new(headers)
    else:
        found = Conversation(correlation[1].decode(), correlation, was_brought=True)
    parent, state = (headers.get(name, b"").decode("latin-1") for name in _TRACE)
    return found._replace(
        causation_id=cause[1].decode() if cause else "", trace=TraceContext.parse(parent, state) if parent else None
    )


def _first(headers: Headers, names: Sequence[bytes]) -> Header | None:
    """The first of the headers that is there, if its value can be recorded as an id."""
    for name in names:
        value = headers.get(name)
        if value is not None:
            text = value.decode("latin-1")
            if not _is_id(text):
                raise InvalidHeaderError(name.decode().title(), text, f"1 to {_MAX_ID} printable ASCII characters")
            return name, value
    return None


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _MAX_ID and text.isascii() and text.isprintable()
