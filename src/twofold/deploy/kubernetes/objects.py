"""What all objects share: names, labels, metadata, and how their files are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.deploy.files import mark
from twofold.deploy.manifest import Tree, to_yaml
from twofold.deploy.topology import Topology

__all__ = ["KIND", "Object", "Selector", "listed", "made", "name_of", "selector_of", "text_of"]

KIND = "kubernetes"

Object = dict[str, Any]
Selector = Mapping[str, str]


def name_of(topology: Topology, component: str) -> str:
    """The name of a component's objects: `shop-command`."""
    return f"{topology.name}-{component}"


def selector_of(topology: Topology, component: str) -> dict[str, str]:
    """Labels that find the component's pods, and never change."""
    return {"app.kubernetes.io/part-of": topology.name, "app.kubernetes.io/component": component}


def made(topology: Topology, kind: str, component: str, *, api: str = "v1", name: str = "", **content: Tree) -> Object:
    """An object of a component: its name is the component's unless it has one of its own."""
    labels = {
        **selector_of(topology, component),
        "app.kubernetes.io/name": name_of(topology, component),
        "app.kubernetes.io/managed-by": "twofold",
    }
    metadata: Tree = {"name": name or name_of(topology, component), "labels": labels}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **content}


def listed(mapping: Mapping[str, str]) -> list[Tree]:
    """A mapping as Kubernetes wants environments."""
    return [{"name": name, "value": value} for name, value in mapping.items()]


def text_of(*objects: Tree, about: str = "") -> str:
    comment = f"{mark(KIND)}\n{about}" if about else mark(KIND)
    return to_yaml(*objects, comment=comment)
