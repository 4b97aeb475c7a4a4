"""Takes new connections, all that wait at once.

uvloop's own server takes one in each turn of the event loop. When turns are long, under overload, a crowd that connects
would wait for as many turns, before it could even be told to come again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import structlog

__all__ = ["Acceptor"]

_AT_ONCE = 256
_PAUSE_S = 1.0

logger = structlog.get_logger("twofold.http")


class Acceptor:
    """Stands in for the `asyncio.Server` of one listening socket, which stays its owner's to close."""

    def __init__(self, listener: socket.socket, connection: Callable[[], asyncio.Protocol], backlog: int) -> None:
        self._listener, self._connection, self._loop = listener, connection, asyncio.get_running_loop()
        self._coming: set[asyncio.Task[object]] = set()
        self._again: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        listener.listen(backlog)
        self._watch()

    def close(self) -> None:
        """Take no more; those that were taken go on."""
        self._loop.remove_reader(self._listener)
        if self._again is not None:
            self._again.cancel()

    async def wait_closed(self) -> None:
        if self._coming:
            await asyncio.wait(self._coming)

    def _watch(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # too many open files: looking on at once would only take time from the others
                logger.warning("not-accepted", error=str(error), pause_s=_PAUSE_S)
                self._loop.remove_reader(self._listener)
                self._again = self._loop.call_later(_PAUSE_S, self._watch)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._take(client))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _take(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connection, client)
        except OSError:  # it has gone already
            client.close()
