"""The shop as a process of its own, as `twofold dev` runs it: all roles, SQLite in one folder, one HTTP port."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twofold.testing.load import LoadClient, NoAnswerError

APP = "examples.shop:app"
HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]
READY_TIMEOUT_S = 30.0
READY_POLL_S = 0.05
STOP_TIMEOUT_S = 5.0
LOG_TAIL_CHARS = 2_000


class ServerFailedError(Exception):
    """The shop did not start, or a command line about it failed; the text has what it said."""


@dataclass(slots=True)
class Server:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    async def wait_until_ready(self) -> None:
        """Poll `/readyz` until it answers 200. Raises `ServerFailedError` when it won't."""
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        async with LoadClient(HOST, self.port, connections=1) as client:
            while time.monotonic() < give_up_at:
                if self.process.poll() is not None:
                    raise ServerFailedError(f"the shop ended with code {self.process.returncode}:\n{self.tail()}")
                if await is_ready(client):
                    return
                await asyncio.sleep(READY_POLL_S)
        raise ServerFailedError(f"the shop was not ready within {READY_TIMEOUT_S:.0f} s:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARS:]

    def stop(self) -> bool:
        """SIGTERM; whether the shop was gone within 5 s. One that was not is killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True

    def logged_events(self) -> Iterator[bytes]:
        """The event log from position 1 to the head, as `twofold events tail --json` prints it: a line per event."""
        command = [*twofold(), "events", "tail", APP, "--json"]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment(self.folder, self.port), stdout=subprocess.PIPE
        ) as tail:
            assert tail.stdout is not None
            yield from tail.stdout
        if tail.returncode:
            raise ServerFailedError(f"{' '.join(command)} ended with code {tail.returncode}")


async def is_ready(client: LoadClient) -> bool:
    try:
        return (await client.request("GET", "/readyz")).status == 200
    except NoAnswerError:
        return False


def start(folder: Path) -> Server:
    """In its own session, so that a Ctrl-C meant for the demo does not reach it: the demo stops it itself."""
    port = free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*twofold(), "serve", "all", APP],
            cwd=ROOT,
            env=environment(folder, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Server(folder, port, process)


def twofold() -> list[str]:
    return [sys.executable, "-m", "twofold"]


def environment(folder: Path, port: int) -> dict[str, str]:
    """Ours without its TWOFOLD_ settings: the demo must not meet somebody's real event log."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWOFOLD_")}
    return inherited | {
        "TWOFOLD_EVENT_LOG": f"sqlite:///{folder / 'log.db'}",
        "TWOFOLD_HTTP_HOST": HOST,
        "TWOFOLD_HTTP_PORT": str(port),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
