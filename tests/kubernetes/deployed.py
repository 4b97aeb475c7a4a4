"""The shop in the cluster: what one does to it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.containers.project import deploy
from tests.containers.stack import EVENTS, until
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.manifests import objects_of
from tests.servers.ports import free_port

__all__ = ["LOOPBACK", "ROLES", "Deployed", "reachable"]

LOOPBACK = "127.0.0.1"
NAMESPACE = "shop-dev"
ROLES = ("command", "query", "projector")
SETTLED_WITHIN_S = 180


@dataclass
class Deployed:
    """The overlay `dev` of the project in the folder; the gateway listens on `port` of `host`."""

    cluster: Cluster
    folder: Path
    host: str = LOOPBACK
    port: int = 0

    def kubectl(self, *words: str, timeout_s: float = 300) -> str:
        return self.cluster.kubectl("--namespace", NAMESPACE, *words, timeout_s=timeout_s)

    def apply(self, tag: str) -> None:
        """As the how-to has it: write, migrate, apply."""
        deploy(self.folder, "kubernetes", "--tag", tag)
        objects = objects_of(self.cluster, self.folder / "deploy" / "k8s", "dev")
        self.kubectl("delete", "job", "shop-migrate", "--ignore-not-found")
        self.cluster.kubectl("apply", "--filename", "-", stdin=objects)
        self.kubectl("wait", "--for=condition=complete", f"--timeout={SETTLED_WITHIN_S}s", "job/shop-migrate")

    def remove(self) -> None:
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")

    def scale(self, component: str, replicas: int) -> None:
        self.kubectl("scale", f"deployment/shop-{component}", f"--replicas={replicas}")

    def undo(self) -> None:
        for role in ROLES:
            self.kubectl("rollout", "undo", f"deployment/shop-{role}")

    def await_rollout(self, *components: str) -> None:
        for each in components or ROLES:
            self.kubectl("rollout", "status", f"--timeout={SETTLED_WITHIN_S}s", f"deployment/shop-{each}")

    def delete_pod(self, component: str) -> None:
        """One of its pods; it is told to stop, and another one takes its place."""
        self.kubectl("delete", "pod", self.pods(component)[0]["metadata"]["name"], "--wait=false")

    def kill(self, component: str) -> None:
        """As a crash would: the process of one of its pods is gone, and nobody was told."""
        name = self.pods(component)[0]["metadata"]["name"]
        labels = (f"label=io.kubernetes.pod.name={name}", "label=io.kubernetes.docker.type=container")
        docker = self.cluster.docker
        (container,) = docker("ps", "--quiet", *(word for each in labels for word in ("--filter", each))).split()
        os.kill(json.loads(docker("inspect", container))[0]["State"]["Pid"], signal.SIGKILL)

    # --- what there is ---

    def pods(self, component: str, *, leaving: bool = False) -> list[dict[str, Any]]:
        """Without those on their way out, unless they are wanted: they serve for a while."""
        label = f"app.kubernetes.io/component={component}"
        found = json.loads(self.kubectl("get", "pods", "--selector", label, "--output", "json"))["items"]
        return [each for each in found if leaving or "deletionTimestamp" not in each["metadata"]]

    def tags(self) -> set[str]:
        """Of the services' pods."""
        pods = [pod for role in ROLES for pod in self.pods(role)]
        return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods}

    def await_ready(self, component: str, replicas: int, timeout_s: float = SETTLED_WITHIN_S) -> float:
        """Seconds until so many of its pods are ready, and no other is left but those on their way out."""

        def are_ready() -> bool:
            pods = self.pods(component)
            return len(pods) == replicas and all(map(_is_ready, pods))

        return until(are_ready, f"{replicas} {component} are ready", timeout_s)

    def await_gone(self, component: str) -> None:
        """Until not one of its pods is left."""
        until(lambda: not self.pods(component, leaving=True), f"no {component} is left", SETTLED_WITHIN_S)

    def events(self) -> list[dict[str, Any]]:
        """The whole log, as its PostgreSQL has it."""
        words = ("psql", "--username=postgres", "--dbname=shop", "--tuples-only", "--no-align", "--command", EVENTS)
        lines = self.kubectl("exec", "statefulset/shop-event-log", "--container", "postgres", "--", *words)
        return [json.loads(line) for line in lines.splitlines()]

    def keep_logs(self) -> None:
        """For whoever has to find out why a test failed."""
        wanted = [("get", "pods", "--output", "wide"), ("get", "events")]
        for component in (*ROLES, "gateway", "migrate", "event-log", "read-store"):
            label = f"app.kubernetes.io/component={component}"
            wanted.append(("logs", "--selector", label, "--all-containers", "--prefix", "--tail=2000"))
        texts = [self._said(*words) for words in wanted]
        (self.folder / "pods.log").write_text("\n".join(texts))

    def _said(self, *words: str) -> str:
        """Whatever comes: kubectl fails where one of several pods has just ended."""
        try:
            return self.kubectl(*words)
        except AssertionError as error:
            return str(error)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@contextmanager
def reachable(cluster: Cluster) -> Generator[int]:
    """A port of this machine that leads to the gateway's Service. The cluster has a network of its own, and a socket in
    a folder is in both."""
    address = cluster.kubectl(
        "--namespace", NAMESPACE, "get", "service", "shop-gateway", "--output", "jsonpath={.spec.clusterIP}"
    )
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "gateway"
        relays = [
            subprocess.Popen(words, start_new_session=True)
            for words in (
                [*cluster.in_network, "socat", f"UNIX-LISTEN:{socket},fork,backlog=100", f"TCP:{address}:80,nodelay"],
                [
                    "socat",
                    f"TCP-LISTEN:{port},bind={LOOPBACK},fork,reuseaddr,backlog=100,nodelay",
                    f"UNIX-CONNECT:{socket}",
                ],
            )
        ]
        try:
            until(socket.exists, "a way into the cluster", 10)
            yield port
        finally:
            for each in relays:
                os.killpg(each.pid, signal.SIGTERM)
                each.wait(10)
