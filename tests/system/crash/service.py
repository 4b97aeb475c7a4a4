"""The service under fire: a real process of `twofold serve all` on SQLite files, started and killed at will."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

APP = "examples.bank:app"
ROOT = Path(__file__).parents[3]
START_TIMEOUT_S = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Service:
    """Starts on one port and one pair of files every time. `entry` is the script that stands for the command line."""

    def __init__(self, folder: Path, entry: Path | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self._entry = [sys.executable, str(entry)] if entry else [sys.executable, "-m", "twofold"]
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("TWOFOLD_")},
            "TWOFOLD_EVENT_LOG": f"sqlite:///{self.folder}/log.db",
            "TWOFOLD_HTTP_PORT": str(self.port),
            "TWOFOLD_LOG_LEVEL": "warning",
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> None:
        """Start the process and wait until it listens; RuntimeError with its last words when it ends instead."""
        output = (self.folder / "service.log").open("ab")
        with output:
            command = [*self._entry, "serve", "all", APP]
            self._process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=output, stderr=output)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "service.log").read_text()[-2_000:])
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has cleared the process away."""
        self.signal(signal.SIGKILL)
        self.wait()
        self.kills += 1

    def settle_and_stop(self) -> None:
        """Wait until the read model stands at the log's head, then SIGTERM; RuntimeError when either takes too long."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(each["lag_events"] for each in self._read_models()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the read models don't settle: {self._read_models()}")
            time.sleep(0.05)
        self.signal(signal.SIGTERM)
        code = self.wait()
        if code != 0:
            raise RuntimeError(f"exit code {code}: {(self.folder / 'service.log').read_text()[-2_000:]}")

    def _read_models(self) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "twofold", "read-models", "list", APP, "--json"]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, timeout=20, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return json.loads(done.stdout)

    def wait(self, timeout_s: float = 10.0) -> int:
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """End it whatever its state, also when it is stopped by SIGSTOP."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
