"""`twofold` as users run it: a process of its own, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]
WITHIN_S = 30.0


def environment(**settings: str) -> dict[str, str]:
    """Ours without its settings, and with the examples to be found."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWOFOLD_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **settings}


def twofold(
    *words: str, cwd: Path, settings: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must have that exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "twofold", *words],
        cwd=cwd,
        env=environment(**(settings or {})),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode == code, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done


def until(condition: Callable[[], Any], what: str) -> None:
    give_up_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up_at, f"{what}: not within {WITHIN_S} seconds"
        time.sleep(0.02)


@dataclass
class Service:
    """`twofold dev` or `serve` with its files in `folder`; `url` is there once it is ready."""

    process: subprocess.Popen[str]
    folder: Path
    output: Path

    @classmethod
    def start(cls, words: Sequence[str], *, cwd: Path, folder: Path, settings: Mapping[str, str] | None = None) -> Self:
        folder.mkdir(exist_ok=True)
        output = folder / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "twofold", *words, "--port", "0"],
                cwd=cwd,
                env=environment(**(settings or {})),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                text=True,
            )
        service = cls(process, folder, output)
        until(service.is_ready, "the service is ready")
        return service

    @property
    def holder(self) -> dict[str, Any]:
        """What the process that writes the event log has published."""
        try:
            return json.loads((self.folder / "log.db.lock").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    @property
    def url(self) -> str:
        return self.holder["url"]

    def is_listening(self) -> bool:
        return "url" in self.holder

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        try:
            return self.is_listening() and httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def send(self, command: str, **fields: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/commands/{command}", json=fields, timeout=WITHIN_S)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, query: str, *, after: int = 0, **fields: str) -> Any:
        headers = {"Twofold-After": str(after)} if after else {}
        answer = httpx.get(f"{self.url}/queries/{query}", params=fields, headers=headers, timeout=WITHIN_S)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Signal it, and say after how many seconds it was gone."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(WITHIN_S)
        return time.monotonic() - started

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class RoleService(Service):
    """`twofold serve` of any role, on stores that others work on too: it says in its log alone where it listens."""

    @property
    def logged(self) -> list[dict[str, Any]]:
        lines = self.output.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    @property
    def url(self) -> str:
        return next(line["url"] for line in self.logged if line["event"] == "listening")

    def is_listening(self) -> bool:
        return any(line["event"] == "listening" for line in self.logged)
