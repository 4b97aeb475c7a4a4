"""Projects to deploy: the shop with a service for each role, and the shop split by component."""

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from examples import shop
from twofold import Application
from twofold.deploy.project import Project
from twofold.deploy.topology import Topology

PLAIN = """
[project]
name = "webshop"
version = "1.4.0"
description = 'Sells "things"'
dependencies = ["twofold>=0.1", "holidays>=0.50"]

[tool.twofold]
app = "examples.shop:app"
"""

SPLIT = f"""{PLAIN}
[tool.twofold.settings]
log_level = "warning"
drain_timeout_s = 8.5

[tool.twofold.deploy]
registry = "registry.example.com/team/"
host = "shop.example.com"
tls_secret = "shop-tls"
ingress_class = "nginx"

[tool.twofold.services.flash-sale]
role = "command"
include = ["Product"]
replicas = {{ min = 3, max = 20 }}
settings = {{ append_batch_size = 512, position_cookie = false }}

[tool.twofold.services.back-office]
role = "command"

[tool.twofold.services.reports]
role = "query"
include = ["SalesPerProduct", "RevenueByCountry"]

[tool.twofold.services.storefront]
role = "query"

[tool.twofold.services.folding]
role = "projector"
cpu_cores = 2
memory_mib = 512
"""

Document = dict[str, Any]


def project_of(text: str, folder: Path) -> Project:
    (folder / "pyproject.toml").write_text(text)
    return Project.read(folder)


def topology_of(text: str, folder: Path, *, app: Application = shop.app) -> Topology:
    return Topology.of("examples.shop:app", app, project_of(text, folder), ["examples"])


def documents(files: Mapping[str, str], *, under: str = "") -> list[Document]:
    """Every object of the manifests; what Kustomize generates is not among them."""
    texts = [text for path, text in files.items() if path.startswith(under) and path.endswith(".yaml")]
    found = [document for text in texts for document in _parsed(text)]
    return [copy.deepcopy(each) for each in found if each["kind"] != "Kustomization"]


@cache
def _parsed(text: str) -> list[Document]:
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
