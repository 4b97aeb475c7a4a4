"""Servers as child processes: started on a free port, awaited until they answer, stopped by SIGTERM."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

__all__ = ["Server", "twofold", "twofold_server", "uvicorn_server"]

TWOFOLD = Path(sys.executable).with_name("twofold")

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def cpu_s(self) -> float:
        """CPU time that it has used so far, in all its threads, in steps of 10 ms."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def uvicorn_server(app: str, *, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """`module:attribute` behind one bare uvicorn with uvloop and httptools."""
    port = _free_port()
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *options]
    with _running(command, port, "/", environment or {}) as server:
        yield server


@contextmanager
def twofold_server(app: str, event_log: str, role: str = "all") -> Iterator[Server]:
    """`twofold serve` with its stores where the URL says; ready."""
    port = _free_port()
    environment = {
        "TWOFOLD_EVENT_LOG": event_log,
        "TWOFOLD_HTTP_HOST": "127.0.0.1",
        "TWOFOLD_HTTP_PORT": str(port),
    }
    command = [str(TWOFOLD), "serve", role, app]
    with _running(command, port, "/readyz", environment) as server:
        yield server


def twofold(*words: str, event_log: str) -> None:
    """Run a command of `twofold` to its end. RuntimeError, with what it says, when it fails."""
    environment = os.environ | {"TWOFOLD_EVENT_LOG": event_log}
    done = subprocess.run([str(TWOFOLD), *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"twofold {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")


@contextmanager
def _running(command: Sequence[str], port: int, path: str, environment: Mapping[str, str]) -> Iterator[Server]:
    with TemporaryFile() as log:  # a line for every request: a pipe that nobody reads would be full soon
        server = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            _await_answer(server, log, port, path)
            yield Server(port, server.pid)
        finally:
            server.terminate()
            server.wait(timeout=STOP_TIMEOUT_S)


def _await_answer(server: subprocess.Popen[bytes], log: IO[bytes], port: int, path: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            log.seek(0)
            errors = log.read().decode(errors="replace")
            raise RuntimeError(f"the server ended with {server.returncode}: {errors[-2000:]}")
        if _status(port, path) == 200:
            return
        time.sleep(0.02)
    raise TimeoutError(f"no 200 from port {port}{path} within {START_TIMEOUT_S} s")


def _status(port: int, path: str) -> int | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
