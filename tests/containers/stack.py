"""A running Compose project: what one does to it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.containers.dockerd import HOST, Docker

__all__ = ["Stack", "until"]

PROJECT = "shop"
SERVICES = ("command", "query", "projector")
EVENTS = """
select json_build_object('position', position, 'stream', stream, 'version', version, 'type', type, 'data', data::json,
                         'metadata', metadata::json)
  from twofold_log.event order by position
"""
REACHED = """
import contextlib, socket
found = False
for address in {addresses}:
    with contextlib.suppress(OSError), socket.create_connection((address, {port}), timeout=1):
        found = True
print(found)
"""


def until(condition: Callable[[], Any], what: str, timeout_s: float) -> float:
    """Seconds until it held; AssertionError when it does not in time."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, f"{what}: not within {timeout_s} seconds"
        time.sleep(0.05)
    return time.monotonic() - started


@dataclass
class Stack:
    """The project whose compose.yaml is in the folder; the gateway listens on `port` of HOST."""

    docker: Docker
    folder: Path
    host: str = HOST
    port: int = 8080

    def up(self) -> None:
        """From nothing: builds the images, too."""
        self.compose("up", "--detach", timeout_s=900)

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "5")

    def compose(self, *words: str, timeout_s: float = 180) -> str:
        return self.run("docker-compose", *words, timeout_s=timeout_s)

    def run(self, *words: str, timeout_s: float = 300, **variables: str) -> str:
        """A program in the folder, led to the tests' daemon."""
        own = {**self.docker.environment, "PORT": str(self.port), "PIP_NO_INDEX": "1", **variables}
        done = subprocess.run(words, cwd=self.folder, env=own, capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def scale(self, service: str, count: int) -> None:
        self.compose("up", "--detach", "--no-deps", "--no-recreate", "--scale", f"{service}={count}", service)

    def roll(self, tag: str, patience_s: int = 120) -> None:
        """Go over to another tag with the script that was generated."""
        self.run("./roll.sh", tag, PATIENCE_S=str(patience_s))

    # --- containers ---

    def containers(self, service: str) -> list[str]:
        """The ids of those that run."""
        labels = (f"label=com.docker.compose.project={PROJECT}", f"label=com.docker.compose.service={service}")
        return self.docker("ps", "--quiet", *(word for each in labels for word in ("--filter", each))).split()

    def inspect(self, container: str) -> dict[str, Any]:
        return json.loads(self.docker("inspect", container))[0]

    def kill(self, container: str) -> None:
        """As a crash would: Docker itself is not asked, since it would take that for a wish."""
        os.kill(self.inspect(container)["State"]["Pid"], signal.SIGKILL)

    def is_well(self, container: str) -> bool:
        state = self.inspect(container)["State"]
        return state["Running"] and state.get("Health", {"Status": "healthy"})["Status"] == "healthy"

    def await_well(self, *services: str, timeout_s: float = 120) -> float:
        """Seconds until every container of the services (default: all three roles) runs and is healthy."""

        def are_well() -> bool:
            found = {name: self.containers(name) for name in services or SERVICES}
            return all(found.values()) and all(self.is_well(each) for some in found.values() for each in some)

        return until(are_well, f"{services or SERVICES} are well", timeout_s)

    def reaches(self, service: str, other: str, port: int) -> bool:
        """Whether one of the service's containers can connect to one of the other's, by any of its addresses."""
        (target, *_), (container, *_) = self.containers(other), self.containers(service)
        networks = self.inspect(target)["NetworkSettings"]["Networks"]
        addresses = [each["IPAddress"] for each in networks.values()]
        code = REACHED.format(addresses=addresses, port=port)
        return self.docker("exec", container, "/venv/bin/python", "-c", code) == "True"

    def keep_logs(self) -> None:
        """For whoever has to find out why a test failed."""
        (self.folder / "containers.log").write_text(self.compose("logs", "--no-color", "--timestamps"))

    # --- what is stored ---

    def events(self) -> list[dict[str, Any]]:
        """The whole log, as its PostgreSQL has it."""
        (server,) = self.containers("event-log")
        words = ("psql", "--username=postgres", "--dbname=shop", "--tuples-only", "--no-align", "--command", EVENTS)
        lines = self.docker("exec", server, *words).splitlines()
        return [json.loads(line) for line in lines]
