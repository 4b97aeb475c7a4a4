"""An HTTP answer as a plain value, and the ASGI types that the door works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

__all__ = ["Answer", "Header", "Receive", "Scope", "Send", "json_answer"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]


class Answer(NamedTuple):
    """Status, headers (names in lower case, Content-Length among them) and the whole body.

    `code` is the problem's code, "" for an answer that is no problem. `closes` asks for the end of the connection.
    `position` is the one that the answer names, 0 for none.
    """

    status: int
    headers: list[Header]
    body: bytes
    code: str = ""
    closes: bool = False
    position: int = 0


def json_answer(status: int, body: bytes) -> Answer:
    return Answer(status, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], body)
