"""A service under fire: a real process of `twofold serve`, started, killed and stopped at will."""

import asyncio
import http.client
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.servers.ports import free_port, listens
from tests.system.cli_process import ROOT, environment

__all__ = ["START_TIMEOUT_S", "ServiceProcess", "dying", "twofold_json"]

START_TIMEOUT_S = 30.0


class ServiceProcess:
    """Has one port and one log file however often it is started. `entry` is a script in place of the command line."""

    def __init__(
        self, role: str, app: str, settings: Mapping[str, str], output: Path, entry: Path | None = None
    ) -> None:
        self.role, self.app, self.output, self.port = role, app, output, free_port()
        self.environment = environment(TWOFOLD_HTTP_PORT=str(self.port), **settings)
        self._entry = [sys.executable, str(entry)] if entry else [sys.executable, "-m", "twofold"]
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def begin(self) -> None:
        """Start the process, and wait for nothing."""
        with self.output.open("ab") as output:
            command = [*self._entry, "serve", self.role, self.app]
            self._process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=output, stderr=output)

    def start(self) -> None:
        """Start the process and wait until it listens; RuntimeError with its last words when it ends instead."""
        self.begin()
        self._await(lambda: listens(self.port), "it does not listen")

    def await_ready(self) -> None:
        """Wait until it says that it is ready; RuntimeError with its last words when it ends instead."""
        self._await(lambda: self._get("/readyz") == 200, "it is not ready")

    def _await(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            if not self.runs or time.monotonic() > deadline:
                raise RuntimeError(f"{self.role}: {what}\n{self.words}")
            time.sleep(0.01)

    def _get(self, path: str) -> int:
        """The status that it answers; 0 when it does not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def words(self) -> str:
        """The last of what it said."""
        return self.output.read_text()[-2_000:]

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has cleared the process away."""
        self.signal(signal.SIGKILL)
        self.wait()
        self.kills += 1

    def wait(self, timeout_s: float = 10.0) -> int:
        assert self._process is not None
        return self._process.wait(timeout_s)

    def end(self) -> None:
        """SIGTERM; RuntimeError when it does not end well."""
        self.signal(signal.SIGTERM)
        if code := self.wait():
            raise RuntimeError(f"{self.role}: exit code {code}\n{self.words}")

    def stop(self) -> None:
        """End it whatever its state, also when it is stopped by SIGSTOP."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def dying(services: Sequence[ServiceProcess], *, seed: int) -> AsyncGenerator[None]:
    """While the block runs, one after another is killed, 0.1 to 0.6 s after the last one is back."""
    moments, over = random.Random(seed), asyncio.Event()

    async def kill() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), moments.uniform(0.1, 0.6))
            service = moments.choice(services)
            await asyncio.to_thread(service.kill)
            await asyncio.to_thread(service.start)

    task = asyncio.create_task(kill())
    try:
        yield
    finally:
        over.set()
        await task  # not cancelled: a thread would go on and start what nobody ends


def twofold_json(*words: str, environment: Mapping[str, str]) -> list[Any]:
    """What a command of `twofold` prints, a value per line; RuntimeError when it fails."""
    command = [sys.executable, "-m", "twofold", *words]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr.decode()[-2_000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]
