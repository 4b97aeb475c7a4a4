"""A Kubernetes of one node on this machine, made by scripts that stand beside the project's folder.

They build Kubernetes 1.20 from Debian's sources once, and run it in a network namespace of its own. Nothing else of the
machine is touched, and a cluster that runs already is used and left as it is.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.containers.dockerd import Docker

__all__ = ["SCRIPTS", "Cluster", "running_cluster"]

SCRIPTS = Path(__file__).parents[3] / "shared" / "kubernetes"
BUILT_WITHIN_S = 3000
UP_WITHIN_S = 300


@dataclass(frozen=True)
class Cluster:
    """`home` has its programs and its state."""

    home: Path

    @property
    def docker(self) -> Docker:
        """The daemon whose images the node runs."""
        return Docker(self.home / "dk" / "docker.sock")

    def script(self, name: str, *words: str | Path, stdin: str | None = None, timeout_s: float = 300) -> str:
        """What it prints; AssertionError with both outputs when it fails."""
        done = subprocess.run(
            [SCRIPTS / name, *words],
            env={**os.environ, "KUBE_HOME": str(self.home)},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        text = f"{name} {' '.join(map(str, words))}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert done.returncode == 0, text
        return done.stdout

    def kubectl(self, *words: str | Path, stdin: str | None = None, timeout_s: float = 300) -> str:
        return self.script("kubectl", *words, stdin=stdin, timeout_s=timeout_s)

    @property
    def answers(self) -> bool:
        try:
            self.kubectl("get", "--raw", "/readyz", timeout_s=20)
        except (AssertionError, subprocess.TimeoutExpired):
            return False
        return True

    @property
    def in_network(self) -> tuple[str, ...]:
        """What a command begins with that has to reach addresses of the cluster."""
        return ("nsenter", f"--net=/run/netns/{os.environ.get('KUBE_NETNS', 'test-cluster')}")


@contextmanager
def running_cluster() -> Generator[Cluster]:
    """Built if need be, which takes minutes; started unless it runs, and then stopped at the end."""
    cluster = Cluster(Path(os.environ.get("KUBE_HOME") or Path(tempfile.gettempdir()) / "test-cluster"))
    if cluster.answers:
        yield cluster
        return
    log = cluster.home / "script.log"
    cluster.home.mkdir(exist_ok=True)
    _logged(cluster, "build.sh", log, BUILT_WITHIN_S)
    try:
        _logged(cluster, "up.sh", log, UP_WITHIN_S)
        yield cluster
    finally:
        cluster.script("down.sh", "wipe")


def _logged(cluster: Cluster, name: str, log: Path, timeout_s: float) -> None:
    """Into a file: the servers that a script leaves behind would hold a pipe open for ever."""
    environment = {**os.environ, "KUBE_HOME": str(cluster.home)}
    with log.open("a") as output:
        done = subprocess.run(
            [SCRIPTS / name],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
        )
    assert done.returncode == 0, f"{name}: {log.read_text()[-2000:]}"
