"""The generated manifests as a Kubernetes of 2021 on one small node takes them; the rest is as it was written."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.cluster import Cluster

__all__ = ["objects_of"]

BASE = "../../base"
STORAGE: dict[str, Any] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "folders", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/host-path",
}
"""Real clusters have one; this one has a provisioner for it."""

POSTGRES_USER = 999


def objects_of(cluster: Cluster, manifests: Path, overlay: str) -> str:
    """What `kubectl apply --kustomize` would apply, as text for `kubectl apply --filename -`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(manifests, Path(folder) / "manifests") / "overlays" / overlay
        _for_old_kustomize(copy / "kustomization.yaml")
        objects = [STORAGE, *yaml.safe_load_all(cluster.kubectl("kustomize", copy))]
    for each in objects:
        template = each.get("spec", {}).get("template")
        if template:
            _for_a_small_node(template["spec"])
        if each["kind"] == "StatefulSet":
            _for_volumes_of_root(template["spec"])
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def _for_old_kustomize(path: Path) -> None:
    """It has a word of its own for resources that are folders."""
    content = yaml.safe_load(path.read_text())
    content["resources"].remove(BASE)
    path.write_text(yaml.safe_dump({**content, "bases": [BASE]}))


def _for_a_small_node(pod: dict[str, Any]) -> None:
    """Three of each have to fit beside a control plane: limits stay, requests go."""
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        container["resources"]["requests"] = {"cpu": "10m", "memory": "32Mi"}


def _for_volumes_of_root(pod: dict[str, Any]) -> None:
    """Its volumes are folders of root's, which `fsGroup` does not change: they are given away beforehand."""
    (server,) = pod["containers"]
    (data,) = (each for each in server["volumeMounts"] if each["name"] == "data")
    owner = f"{POSTGRES_USER}:{POSTGRES_USER}"
    pod["initContainers"] = [
        {
            "name": "give-away",
            "image": server["image"],
            "command": ["chown", owner, data["mountPath"]],
            "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
            "volumeMounts": [data],
        }
    ]
