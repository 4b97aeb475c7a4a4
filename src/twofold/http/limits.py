"""Request bodies within limits: so many bytes, in so many seconds, and no longer once the process is stopping."""

from __future__ import annotations

import asyncio
from typing import Any

from twofold.errors import StoppingError
from twofold.http.answers import Receive
from twofold.http.headers import Headers
from twofold.http.problems import BodyTimeoutError, BodyTooLargeError

__all__ = ["Bodies", "ClientGoneError"]

_MOST_DIGITS = 18


class ClientGoneError(Exception):
    """The client has gone away before its request was whole: there is nobody to answer."""


class Bodies:
    """Reads bodies, and knows which are being read.

    Nearly every body is there when it is asked for, so none has a timer of its own: one timer looks at all that
    are being read, a few times within the time that a body may take.
    """

    def __init__(self, *, max_bytes: int, timeout_s: float) -> None:
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._given_up: set[asyncio.Task[Any]] = set()
        self._look_again: asyncio.TimerHandle | None = None
        self._stopping = False

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body; BodyTooLargeError (without reading on), BodyTimeoutError, StoppingError, ClientGoneError."""
        length = headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > self._max_bytes):
            raise BodyTooLargeError(self._max_bytes)
        task = self._begin()
        try:
            return await self._read(receive)
        except asyncio.CancelledError:
            if task not in self._given_up or task.uncancel():
                raise
            raise (StoppingError() if self._stopping else BodyTimeoutError(self._timeout_s)) from None
        finally:
            del self._deadlines[task]
            self._given_up.discard(task)

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
        for task in self._deadlines:
            self._give_up(task)

    def _begin(self) -> asyncio.Task[Any]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._deadlines[task] = loop.time() + self._timeout_s
        if self._stopping:
            loop.call_soon(self._give_up, task)
        elif self._look_again is None:
            self._look_again = loop.call_later(self._timeout_s / 4, self._look)
        return task

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for task, deadline in self._deadlines.items():
            if deadline <= loop.time():
                self._give_up(task)
        self._look_again = loop.call_later(self._timeout_s / 4, self._look) if self._deadlines else None

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        if task in self._deadlines and task not in self._given_up:
            self._given_up.add(task)
            task.cancel()
