"""What a project's pyproject.toml says about its deployment, read strictly: a misspelt key is an error."""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from twofold.errors import SettingsError
from twofold.settings import Role

__all__ = [
    "DeploySettings",
    "ImageNames",
    "Project",
    "Replicas",
    "ServiceSettings",
    "commit_of",
    "local_modules",
    "tag_of",
]

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,22}[a-z0-9])?")
_TAKEN = {"event-log", "gateway", "grafana", "migrate", "owner", "prometheus", "read-store", "roles"}
_REQUIREMENT_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")

Plain = str | int | float | bool
Setting = Mapping[str, Plain]


class Replicas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many processes of a service there are, at least and at most."""

    min: int = 2
    max: int = 10


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tool.twofold.services.NAME]`: a service of its own. Without `include` it takes what no other one includes.

    `cpu_cores` and `memory_mib` are limits; a quarter of the first and half of the second are asked for.
    """

    role: Role
    include: list[str] | None = None
    replicas: Replicas | None = None
    cpu_cores: float = 1.0
    memory_mib: int = 384
    settings: dict[str, Plain] = {}


class ImageNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tool.twofold.deploy.images]`: the base of Twofold's images, and the images of what is not Twofold's."""

    base: str = "python:3.13-slim"
    postgres: str = "postgres:18"
    nginx: str = "nginx:1.29"
    prometheus: str = "prom/prometheus:v3.7.0"
    grafana: str = "grafana/grafana:12.2.0"


class DeploySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tool.twofold.deploy]`: what no application can tell.

    `name` begins the names of images and Kubernetes objects (default: the application's), `registry` the images' names.
    `requirements` is a lock file to install instead of the project's dependencies; it has to hold `twofold[postgres]`.
    `packages` are the top-level packages and modules that images hold (default: those of the project that importing the
    application imports). `host`, `ingress_class` and `tls_secret` are of the Ingress, `prometheus` is where KEDA asks.
    """

    name: str = ""
    registry: str = ""
    requirements: str = ""
    packages: list[str] = []
    host: str = ""
    ingress_class: str = ""
    tls_secret: str = ""
    monitoring_namespace: str = "monitoring"
    prometheus: str = "http://prometheus-operated.monitoring.svc:9090"
    lag_events_per_replica: int = 2_000
    images: ImageNames = ImageNames()


class _Twofold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    app: str = ""
    settings: dict[str, Plain] = {}
    deploy: DeploySettings = DeploySettings()
    services: dict[str, ServiceSettings] = {}


@dataclass(frozen=True, slots=True)
class Project:
    """The folder of a project, and what its pyproject.toml says. Without the file everything is at its default."""

    folder: Path
    version: str = "0.0.0"
    dependencies: Sequence[str] = ()
    description: str = ""
    deploy: DeploySettings = field(default_factory=DeploySettings)
    settings: Setting = field(default_factory=dict[str, Plain])
    services: Mapping[str, ServiceSettings] = field(default_factory=dict[str, ServiceSettings])

    @classmethod
    def read(cls, folder: Path) -> Project:
        """SettingsError with the place in the file for what can't be meant."""
        path = folder / "pyproject.toml"
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(folder)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path} can't be read: {error}; nothing was written") from None
        stated = _stated(path, table.get("tool", {}).get("twofold", {}))
        project = table.get("project", {})
        return cls(
            folder=folder,
            version=str(project.get("version", "0.0.0")),
            dependencies=tuple(map(str, project.get("dependencies", ()))),
            description=str(project.get("description", "")),
            deploy=stated.deploy,
            settings=stated.settings,
            services=stated.services,
        )

    @property
    def requirements(self) -> tuple[str, ...]:
        """The project's dependencies but for Twofold itself, which images take with the extras of their role."""
        return tuple(each for each in self.dependencies if _name_of(each) != "twofold")

    @property
    def wants_traces(self) -> bool:
        """Whether images need what sends traces: the project depends on `twofold[otel]`, or says where they go."""
        settings = [self.settings, *(each.settings for each in self.services.values())]
        named = [each for each in self.dependencies if _name_of(each) == "twofold"]
        return any("otel" in each for each in named) or any(each.get("otlp_endpoint") for each in settings)


def _stated(path: Path, table: Any) -> _Twofold:
    try:
        stated = msgspec.convert(table, _Twofold)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: [tool.twofold] {_explained(str(error))}; nothing was written") from None
    for name in [*stated.services, *filter(None, [stated.deploy.name])]:
        if not _NAME.fullmatch(name):
            text = "can't be a name here: lower-case letters, digits and hyphens, a letter first, at most 24"
            raise SettingsError(f"{path}: {name!r} {text}; nothing was written")
    for name, each in stated.services.items():
        if name in _TAKEN:
            raise SettingsError(f"{path}: a service can't be called {name}, as something else is; nothing was written")
        _check_service(path, name, each)
    return stated


def _check_service(path: Path, name: str, service: ServiceSettings) -> None:
    where = f"{path}: [tool.twofold.services.{name}]"
    if service.role is Role.ALL:
        raise SettingsError(f'{where} role = "all" is one process; give command, query or projector')
    if name in set(Role) and name != service.role:
        raise SettingsError(f'{where} role = "{service.role}": a service that is named after a role has that role')
    found = service.replicas or Replicas()
    if not 1 <= found.min <= found.max:
        raise SettingsError(f"{where} replicas: min {found.min}, max {found.max}; give 1 ≤ min ≤ max")
    if service.include == []:
        raise SettingsError(f"{where} includes nothing; name components, or leave `include` out to take the rest")
    if service.cpu_cores <= 0 or service.memory_mib < 64:
        raise SettingsError(f"{where} needs cpu_cores above 0 and memory_mib of at least 64")


def _explained(text: str) -> str:
    """msgspec's sentence, with the nearest known key for one that is not."""
    found = re.search(r"unknown field `([^`]*)`", text)
    if found is None:
        return text
    kinds = (_Twofold, DeploySettings, ImageNames, ServiceSettings, Replicas)
    known = [name for kind in kinds for name in kind.__struct_fields__]
    nearest = difflib.get_close_matches(found[1], known, n=1)
    return f"{text}; did you mean {nearest[0]}?" if nearest else text


def _name_of(requirement: str) -> str:
    found = _REQUIREMENT_NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def local_modules(folder: Path, modules: Mapping[str, ModuleType] | None = None) -> tuple[str, ...]:
    """The project's own top-level packages and modules that are imported now, as paths in the folder: its code."""
    found: set[str] = set()
    for name, module in list((sys.modules if modules is None else modules).items()):
        for file in _files_of(module) if name.partition(".")[0] != "twofold" else ():
            if file.is_relative_to(folder) and not any(part in _NOT_CODE for part in file.parts):
                found.add(_root_of(file.relative_to(folder)))
    return tuple(sorted(found))


_NOT_CODE = {"site-packages", "dist-packages", ".venv", "venv"}


def _files_of(module: ModuleType) -> list[Path]:
    file = getattr(module, "__file__", None)
    return [Path(file).resolve()] if isinstance(file, str) else []


def _root_of(file: Path) -> str:
    """`shop/orders.py` → `shop`, `src/shop/orders.py` → `src/shop`, `shop.py` → `shop.py`."""
    depth = 2 if file.parts[0] == "src" else 1
    return "/".join(file.parts[:depth])


def commit_of(folder: Path) -> str:
    """The commit that the folder is at, twelve digits; empty outside of Git. `-dirty` when files differ from it."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def tag_of(version: str, commit: str) -> str:
    """A tag that images may have: `0.1.0-3f2a9c1d0b7e`."""
    text = f"{version}-{commit}" if commit else version
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip(".-")[:128]
