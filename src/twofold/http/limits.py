"""Request bodies within limits: so many bytes, in so many seconds, and no longer once the process is stopping."""

from __future__ import annotations

import asyncio

from twofold.errors import StoppingError
from twofold.http.answers import Receive
from twofold.http.headers import Headers
from twofold.http.problems import BodyTimeoutError, BodyTooLargeError
from twofold.runtime.deadlines import Deadlines

__all__ = ["Bodies", "ClientGoneError"]

_MOST_DIGITS = 18


class ClientGoneError(Exception):
    """The client has gone away before its request was whole: there is nobody to answer."""


class Bodies:
    """Reads bodies, and knows which are being read."""

    def __init__(self, *, max_bytes: int, timeout_s: float) -> None:
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self._deadlines = Deadlines(timeout_s)
        self._stopping = False

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body; BodyTooLargeError (without reading on), BodyTimeoutError, StoppingError, ClientGoneError."""
        length = headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > self._max_bytes):
            raise BodyTooLargeError(self._max_bytes)
        try:
            with self._deadlines:
                if self._stopping:  # what is there already is taken, and not waited for
                    asyncio.get_running_loop().call_soon(self._deadlines.end_all)
                return await self._read(receive)
        except TimeoutError:
            raise (StoppingError() if self._stopping else BodyTimeoutError(self._timeout_s)) from None

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            body: bytes = message.get("body", b"")
            size += len(body)
            if size > self._max_bytes:
                raise BodyTooLargeError(self._max_bytes)
            if not message.get("more_body", False):
                return b"".join([*chunks, body]) if chunks else body
            chunks.append(body)

    def stop(self) -> None:
        """Give up on bodies that are not whole: their requests have not been accepted."""
        self._stopping = True
        self._deadlines.end_all()
