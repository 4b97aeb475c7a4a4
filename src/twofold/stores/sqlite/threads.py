"""Threads that own SQLite connections, so that no statement runs on the event loop.

They are the store's own and not the loop's default executor: a slow `getaddrinfo` of somebody else can't keep a write
waiting, and a write can't be kept from running by cancelling who asked for it.

Python gives up the GIL in every `sqlite3_step`, which is once per row; while another thread computes, taking it back
can cost up to `sys.getswitchinterval()` (5 ms) each time. So on hot paths let one statement do the work of many, and
return many rows as one.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from twofold.errors import StoreUnavailableError
from twofold.stores.sqlite.connections import meaning

__all__ = ["ConnectionThreads", "quick_switches"]

SWITCH_INTERVAL_S = 0.0005

T = TypeVar("T")
_Answer = Callable[[Any, Exception | None], None]
_Job = tuple[Callable[[sqlite3.Connection], Any], _Answer] | None


@contextmanager
def quick_switches() -> Generator[None]:
    """Have this process's threads wait less for each other: a tenth of Python's interval, while a log is written.

    The writing thread has the GIL back after at most so long, however busy the event loop is: 1.3 times the commands/s
    of a busy process (Python 3.11, 2 cores). An interval that is shorter already stays.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_INTERVAL_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class ConnectionThreads:
    """A few threads with a connection each, and one queue of work for all of them. One thread keeps the order.

    To be made, used and closed on one event loop. SQLite's errors arrive as Twofold's.
    """

    def __init__(self, store: str, connections: Sequence[sqlite3.Connection]) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._closed = False
        self._ended = [self._start(connection) for connection in connections]

    @property
    def closed(self) -> bool:
        """Whether the threads have been told to end."""
        return self._closed

    def run(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have a thread call `work(connection)`. It is done whether or not the future is awaited or cancelled."""
        future: asyncio.Future[T] = self._loop.create_future()
        self.submit(work, partial(_settle, future))
        return future

    def submit(self, work: Callable[[sqlite3.Connection], Any], answer: _Answer) -> None:
        """Have a thread call `work(connection)`, then the event loop `answer(result, None)` or `answer(None, error)`.

        StoreUnavailableError when the threads have been told to end.
        """
        if self._closed:
            raise StoreUnavailableError(self._store, "it is closed")
        self._jobs.put((work, answer))

    async def close(self) -> None:
        """Wait until all that is queued is done and answered, connections are closed and the threads have ended."""
        if not self._closed:
            self._closed = True
            for _ in self._ended:
                self._jobs.put(None)
        await asyncio.wait(self._ended)

    def _start(self, connection: sqlite3.Connection) -> asyncio.Future[None]:
        ended: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._work, args=(connection, ended), name=self._store, daemon=True).start()
        return ended

    def _work(self, connection: sqlite3.Connection, ended: asyncio.Future[None]) -> None:
        while (job := self._jobs.get()) is not None:
            work, answer = job
            try:
                result = work(connection)
            except sqlite3.Error as error:
                self._tell(answer, None, meaning(error, self._store) or error)
            except Exception as error:
                self._tell(answer, None, error)
            else:
                self._tell(answer, result, None)
        connection.close()
        self._tell(partial(_settle, ended), None, None)

    def _tell(self, answer: _Answer, result: Any, error: Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: who asked is gone, the work is done
            self._loop.call_soon_threadsafe(answer, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():  # cancelled by who asked
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
