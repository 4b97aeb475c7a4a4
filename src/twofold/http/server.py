"""The HTTP server process: uvicorn on uvloop and httptools, and how it ends.

SIGTERM and SIGINT drain: the process is no longer ready and serves on for a grace, so that others learn of it; then no
new connection is taken, requests that are whole are finished and answered, the others are given up, and the system
stops. Nothing that was accepted is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any, cast

import structlog
import uvicorn

from twofold.application import Application
from twofold.errors import SettingsError
from twofold.http.acceptor import Acceptor
from twofold.http.app import HttpDoor
from twofold.http.connections import Connection, Guard, Limits
from twofold.observability.lines import Lines
from twofold.observability.logs import configure_logs
from twofold.settings import Role, Settings

__all__ = ["HttpServer", "bound", "run", "serve", "url_of"]

_LAST_WORDS_S = 0.5
_TICK_S = 0.1
"""As uvicorn's main loop has it."""
_OTHER_FILES = 200
"""Files open beside connections: stores, their journals, sockets; with room to spare."""

logger = structlog.get_logger("twofold.http")


def run(
    app: Application,
    settings: Settings,
    *,
    role: Role = Role.ALL,
    listener: socket.socket | None = None,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve in this process until it is told to stop, with the process's logs set up as the settings say."""
    lines = configure_logs(settings)
    _allow_connections(settings.http_max_connections)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(app, settings, role=role, listener=listener, on_listening=on_listening, lines=lines))


async def serve(
    app: Application,
    settings: Settings,
    *,
    role: Role = Role.ALL,
    listener: socket.socket | None = None,
    on_listening: Callable[[str], None] | None = None,
    lines: Lines | None = None,
) -> None:
    """Serve in the running loop until SIGTERM or SIGINT, then drain.

    `listener` is a bound socket to take requests from; without one the settings' address is bound. `on_listening` gets
    the URL once requests are taken. `lines` is where requests and batches are logged, if at all. SettingsError when the
    address can't be listened on; whatever keeps the system from starting is raised before the address is opened.
    """
    with contextlib.nullcontext(listener) if listener is not None else bound(settings) as listener:
        server = HttpServer(HttpDoor(app, settings.checked(), role, strict=True, lines=lines))
        async with server.door.lifespan():
            await server.listen(listener, on_listening)


class HttpServer(uvicorn.Server):
    """A door on a socket. `should_exit` ends it."""

    def __init__(self, door: HttpDoor) -> None:
        self.door = door
        self._limits = Limits.of(door.settings, door.metrics.http_error)
        self._on_listening: Callable[[str], None] | None = None
        super().__init__(
            uvicorn.Config(
                cast("Any", door),
                http=_connections(door, self._limits),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=cast("int", door.settings.drain_timeout_s),
            )
        )

    async def listen(self, listener: socket.socket, on_listening: Callable[[str], None] | None = None) -> None:
        """Take requests from the bound socket until told to stop; returns when all of them are answered."""
        self._on_listening = on_listening
        guard = Guard(cast("set[Connection]", self.server_state.connections), self._limits)
        watching = asyncio.create_task(guard.watch(), name="connection guard")
        try:
            await self.serve(sockets=[listener])
        finally:
            watching.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        own = sys.platform != "win32"
        await super().startup(sockets=[] if own else sockets)
        if own:
            backlog = self.config.backlog
            self.servers = [cast("Any", Acceptor(each, self._connection, backlog)) for each in sockets or []]
        url = url_of(sockets[0]) if sockets else ""
        logger.info("listening", url=url, application=self.door.app.name, role=str(self.door.role))
        self.door.publish(url)
        if self._on_listening is not None:
            self._on_listening(url)
        gc.freeze()  # what stands now stands for good: collections need not walk it

    def _connection(self) -> asyncio.Protocol:
        return cast("Any", self.config.http_protocol_class)(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._leave()
        logger.info("stopping", connections=len(self.server_state.connections))
        self.door.begin_stop()
        await super().shutdown(sockets=sockets)
        if self.server_state.tasks:  # cancelled by now; each tells its client so
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_S)

    async def _leave(self) -> None:
        """Be not ready for the setting's time, or until a second SIGINT."""
        grace_s = self.door.settings.drain_grace_s
        self.door.begin_leave()
        if grace_s:
            logger.info("leaving", drain_grace_s=grace_s)
        ticks = 0
        while ticks * _TICK_S < grace_s and not self.force_exit:
            await asyncio.sleep(_TICK_S)
            ticks += 1
            await self.on_tick(ticks)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn's, but a signal is not raised again at the end: a drained process has done its work: exit 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _connections(door: HttpDoor, limits: Limits) -> type[Connection]:
    """The class of connections to this door, as uvicorn wants it."""
    return type("DoorConnection", (Connection,), {"limits": limits, "respond": staticmethod(door.respond)})


def url_of(listener: socket.socket) -> str:
    """Where this machine finds what listens there: a socket that listens everywhere listens on loopback too."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def bound(settings: Settings) -> Generator[socket.socket]:
    """A socket bound to the settings' address; SettingsError names the port that is taken."""
    host, port = settings.http_host, settings.http_port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise SettingsError(
            f"TWOFOLD_HTTP_PORT={port}: can't listen on {host}:{port}: {error.strerror or error}; nothing was started "
            "(stop what listens there, or choose another port; 0 takes a free one)"
        ) from None
    with listener:
        yield listener


def _allow_connections(count: int) -> None:
    """Raise the number of files that the process may open, often 1,024, as far as it may itself."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES
    if resource.RLIM_INFINITY not in (soft, hard) and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        if hard < wanted:
            logger.warning("few-open-files", limit=hard, wanted=wanted, remedy="raise the hard limit (ulimit -Hn)")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32" or sys.implementation.name != "cpython":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
