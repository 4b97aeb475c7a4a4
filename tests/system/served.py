"""`twofold serve all` as a process, on a port that it chose itself."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from twofold.testing.load import LoadClient

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30.0


class Served:
    """What it logs is read all the time: a pipe that nobody reads would stop it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.port = 0
        self.logged: list[bytes] = []
        self._listening = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, app: str, folder: Path) -> Self:
        served = cls(await started(app, folder, port=0))
        async with asyncio.timeout(TIMEOUT_S):
            await served._listening.wait()
        assert served.port, served.log
        return served

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.logged.append(line)
            if line.startswith(b"{") and (event := json.loads(line))["event"] == "listening":
                self.port = int(event["url"].rpartition(":")[2])
                self._listening.set()
        self._listening.set()

    @property
    def log(self) -> str:
        return b"".join(self.logged).decode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Seconds from the signal to the end, which must be a good one."""
        at = time.perf_counter()
        self.process.send_signal(number)
        async with asyncio.timeout(TIMEOUT_S):
            await self.process.wait()
        seconds = time.perf_counter() - at
        await self._reading
        assert self.process.returncode == 0, self.log
        assert "Traceback" not in self.log, self.log
        return seconds

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reading

    def client(self, *, connections: int = 8) -> LoadClient:
        return LoadClient("127.0.0.1", self.port, connections=connections)


async def started(app: str, folder: Path, *, port: int) -> Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWOFOLD_")}
    settings = {
        "TWOFOLD_EVENT_LOG": f"sqlite:///{folder / 'log.db'}",
        "TWOFOLD_HTTP_PORT": str(port),
        "TWOFOLD_LOG_FORMAT": "json",
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "twofold", "serve", "all", app), cwd=ROOT, env=inherited | settings, stderr=PIPE
    )


@asynccontextmanager
async def serving(app: str, folder: Path) -> AsyncGenerator[Served]:
    """The server, which is gone afterwards."""
    served = await Served.start(app, folder)
    try:
        yield served
    finally:
        await served.kill()
