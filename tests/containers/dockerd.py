"""A Docker daemon of the tests' own: its images, networks and containers are nobody else's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["HOST", "Docker", "docker_daemon"]

MACHINE, HOST = "169.254.213.1", "169.254.213.2"
"""The ends of the cable between the machine and the daemon's network, where ports are published. Addresses of a link
(RFC 3927): nothing that is routed can have them."""

STARTS_WITHIN_S = 60
STOPS_WITHIN_S = 120


@dataclass(frozen=True)
class Docker:
    """The command line of one daemon. `environment` leads other programs to it as well."""

    socket: Path
    environment: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        own = {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWOFOLD_")}
        object.__setattr__(self, "environment", {**inherited, **own})

    def __call__(self, *words: str | Path, timeout_s: float = 120, stdin: int | None = None) -> str:
        """What the command prints; AssertionError with both outputs when it fails."""
        done = subprocess.run(
            ["docker", *words],
            env=self.environment,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"docker {' '.join(map(str, words))}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()

    def has_image(self, name: str) -> bool:
        return bool(self("images", "--quiet", name))


@contextmanager
def docker_daemon(folder: Path) -> Generator[Docker]:
    """Run it on a folder, which keeps its images; it ends with the block, and no container outlives it.

    Its network and its mounts are in namespaces of their own, which go with it: the machine's firewall and routing are
    not touched. Should the tests be killed, the kernel tells it to stop.
    """
    folder.mkdir(exist_ok=True)
    docker = Docker(folder / "docker.sock")
    words = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "--mount", "dockerd"]
    words += ["--data-root", folder / "data", "--exec-root", folder / "run", "--bridge", "none"]
    words += ["--host", f"unix://{docker.socket}", "--pidfile", folder / "docker.pid", "--shutdown-timeout", "20"]
    with (folder / "dockerd.log").open("w") as output:
        process = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        _await_answer(docker, process, folder / "dockerd.log")
        _link(process.pid)
        _remove_containers(docker)
        yield docker
        _remove_containers(docker)
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _link(pid: int) -> None:
    """A cable from the machine to the daemon's network; it is gone when that is."""
    _run("ip", "link", "add", "twofold0", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _run("ip", "address", "add", f"{MACHINE}/30", "dev", "twofold0")
    _run("ip", "link", "set", "twofold0", "up")
    inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
    _run(*inside, "address", "add", f"{HOST}/30", "dev", "eth0")
    _run(*inside, "link", "set", "eth0", "up")
    _run(*inside, "link", "set", "lo", "up")


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


def _await_answer(docker: Docker, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while subprocess.run(["docker", "info"], env=docker.environment, capture_output=True, timeout=30).returncode:
        waiting = process.poll() is None and time.monotonic() < deadline
        assert waiting, f"dockerd does not answer: {output.read_text()[-2000:]}"
        time.sleep(0.1)


def _remove_containers(docker: Docker) -> None:
    """Those of an interrupted run as well."""
    if names := docker("ps", "--all", "--quiet").split():
        docker("rm", "--force", "--volumes", *names)
    docker("network", "prune", "--force")
    docker("volume", "prune", "--force")
