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
    def __init__(self, process: Process, port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"

    @classmethod
    async def start(cls, app: str, folder: Path) -> Self:
        process = await started(app, folder, port=0)
        assert process.stderr is not None
        async with asyncio.timeout(TIMEOUT_S):
            while line := await process.stderr.readline():
                if line.startswith(b"{") and (logged := json.loads(line))["event"] == "listening":
                    return cls(process, int(logged["url"].rpartition(":")[2]))
        raise AssertionError(f"the server ended with {await process.wait()}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Seconds from the signal to the end, which must be a good one."""
        at = time.perf_counter()
        self.process.send_signal(number)
        async with asyncio.timeout(TIMEOUT_S):
            _, errors = await self.process.communicate()
        assert self.process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors, errors.decode()
        return time.perf_counter() - at

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
        if served.process.returncode is None:
            served.process.kill()
            await served.process.communicate()
