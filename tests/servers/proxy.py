"""A proxy between a service and its server, which does to connections what networks do.

It runs in a thread of its own, so that a test that waits for a process does not hold up the bytes. What is held (a
black hole) is not lost but arrives late, when the network heals, as TCP's repetitions do; also what a client has sent
that has long given up. What is cut is lost, and both ends see a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import Enum

from tests.servers.postgres_wire import Conversation

__all__ = ["Lost", "Proxy", "proxy_to"]

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST


class Lost(Enum):
    """Which half of an exchange is lost when a connection is cut."""

    REPLY = "reply"
    """The server has committed, and the client never hears of it."""
    REQUEST = "request"
    """The server never sees the statement."""
    LATE = "late"
    """The client sees a reset at once, and the server gets the statement half a second later."""
    REST = "rest"
    """The server gets what was written with the statement; all that comes after it, of every connection, is held."""


class Proxy:
    """Connections to `port` lead to `target_port`, both on loopback. Every method may be called from any thread."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port, self.accepted, self.cuts = 0, 0, 0
        self.delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._links: set[_Link] = set()
        self._refuses = False
        self.to_server, self.to_client = asyncio.Event(), asyncio.Event()
        self.statement = b""
        self.cuts_left, self._lost = 0, Lost.REPLY

    # --- what it does to connections ---

    def hold(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Hold back what is sent from now on, in one direction or both. New connections are taken, and held too."""
        self._do(lambda: self.open_gates(to_server=not to_server, to_client=not to_client))

    def heal(self) -> None:
        """Let everything pass, also what was held."""
        self._refuses, self.delay_s = False, 0.0
        self._do(lambda: self.open_gates(to_server=True, to_client=True))

    def reset(self) -> None:
        """Every connection under way ends with RST, at both ends."""
        self._do(lambda: [link.reset() for link in list(self._links)])

    def refuse(self) -> None:
        """Connections under way are reset, and new ones too, until it heals."""
        self._refuses = True
        self.reset()

    def cut(self, statement: bytes, times: int, lost: Lost) -> None:
        """Cut the connection at each of the next `times` executions of the statement. Only those of connections made
        after the first call are known."""
        self.statement, self.cuts_left, self._lost = statement, times, lost

    def cuts_now(self, lost: Lost) -> bool:
        """Whether what just happened is to be cut; counts it."""
        if not self.cuts_left or lost is not self._lost:
            return False
        self.cuts_left -= 1
        self.cuts += 1
        return True

    @property
    def links(self) -> int:
        """How many connections pass through it now."""
        return len(self._links)

    def open_gates(self, *, to_server: bool, to_client: bool) -> None:
        for gate, is_open in ((self.to_server, to_server), (self.to_client, to_client)):
            gate.set() if is_open else gate.clear()

    # --- how it runs ---

    def _do(self, work: Callable[[], object]) -> None:
        """Run in the proxy's thread, and wait until it is done."""

        async def run() -> None:
            work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=10)

    def run(self, listening: threading.Event) -> None:
        """The proxy's thread, until `stop`."""
        asyncio.set_event_loop(self._loop)
        self.open_gates(to_server=True, to_client=True)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1_000))
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        """Let every link end by itself, which it does once its sockets are gone."""
        self.open_gates(to_server=True, to_client=True)
        for link in list(self._links):
            link.reset()
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=5)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            if self._refuses:
                link.reset()
            else:
                await link.run()
        except OSError:
            link.reset()
        finally:
            self._links.discard(link)


class _Link:
    """One connection: the client's half and the server's."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._client_reader, self._client = proxy, reader, writer
        self._server: asyncio.StreamWriter | None = None
        self._conversation = Conversation(proxy.statement) if proxy.statement else None

    async def run(self) -> None:
        server_reader, self._server = await asyncio.open_connection("127.0.0.1", self._proxy.target_port)
        try:
            await asyncio.gather(self._to_server(self._server), self._to_client(server_reader))
        finally:
            for writer in (self._client, self._server):
                writer.transport.abort()

    async def _to_server(self, server: asyncio.StreamWriter) -> None:
        while data := await self._client_reader.read(_CHUNK_BYTES):
            await self._passing(self._proxy.to_server)
            executes = self._conversation is not None and self._conversation.sent(data)
            if executes and self._proxy.cuts_now(Lost.REQUEST):
                self.reset()
                return
            if executes and self._proxy.cuts_now(Lost.LATE):
                await self._deliver_late(server, data)
                return
            server.write(data)
            await server.drain()
            if executes and self._proxy.cuts_now(Lost.REST):
                self._proxy.open_gates(to_server=False, to_client=False)
        await self._passing(self._proxy.to_server)
        _end_writing(server)

    async def _deliver_late(self, server: asyncio.StreamWriter, data: bytes) -> None:
        _abort(self._client)
        await asyncio.sleep(0.5)
        server.write(data)
        await server.drain()
        await asyncio.sleep(0.5)
        self.reset()

    async def _to_client(self, server: asyncio.StreamReader) -> None:
        while data := await server.read(_CHUNK_BYTES):
            await self._passing(self._proxy.to_client)
            commits = self._conversation is not None and self._conversation.answered(data)
            if commits and self._proxy.cuts_now(Lost.REPLY):
                self.reset()
                return
            if not self._client.transport.is_closing():
                self._client.write(data)
                await self._client.drain()
        await self._passing(self._proxy.to_client)
        _end_writing(self._client)

    async def _passing(self, gate: asyncio.Event) -> None:
        if self._proxy.delay_s:
            await asyncio.sleep(self._proxy.delay_s)
        await gate.wait()

    def reset(self) -> None:
        for writer in (self._client, self._server):
            if writer is not None:
                _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _end_writing(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        if not writer.transport.is_closing():
            writer.write_eof()


@contextmanager
def proxy_to(target_port: int) -> Generator[Proxy]:
    """A proxy that passes everything, gone when the block is left."""
    proxy, listening = Proxy(target_port), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(listening,), name="proxy", daemon=True)
    thread.start()
    try:
        assert listening.wait(10), "the proxy does not listen"
        yield proxy
    finally:
        proxy.stop()
        thread.join(10)
