"""One Dockerfile with a target for each role, which the classic builder takes as well as BuildKit.

Targets that need the same extras share a stage, so their images share its layers. The last stages run nothing: they
copy, so no tool that builds is in an image, and none needs a shell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from twofold.deploy.files import Files, mark
from twofold.deploy.templates import filled
from twofold.deploy.topology import HTTP_PORT, Topology
from twofold.errors import SettingsError
from twofold.settings import Role

__all__ = ["USER", "build_command", "image_files"]

USER = 10001
"""Of every process: a number, so that Kubernetes can see that it is not root."""

EXTRAS: Mapping[Role, tuple[str, ...]] = {
    Role.COMMAND: ("postgres",),
    Role.QUERY: ("postgres",),
    Role.PROJECTOR: ("postgres",),
}
_HEALTH = (
    "import socket,sys;"
    f"s=socket.create_connection(('127.0.0.1',{HTTP_PORT}),2);"
    "s.sendall(b'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n');"
    "sys.exit(b' 200 ' not in s.recv(16))"
)


def image_files(topology: Topology, *, out: str, base: str) -> Files:
    """Everything that images are built from, by path in the project's folder; `out` is a folder in it.

    SettingsError when no code of the project was found: an image without the application would be of no use.
    """
    if not topology.code:
        raise SettingsError(
            f"{topology.app} is not in {topology.project.folder}, so images would be without it; nothing was written "
            "(run it in the project's folder, or give [tool.twofold.deploy] packages)"
        )
    return {
        f"{out}/Dockerfile": _dockerfile(topology, out, base),
        f"{out}/wheels/.gitignore": f"# {mark('images')}\n*\n!.gitignore\n",
        **{f"{out}/requirements/{name}": text for name, text in _requirements(topology)},
        ".dockerignore": _dockerignore(topology, out),
    }


def build_command(
    topology: Topology,
    role: Role,
    *,
    out: str,
    tag: str,
    revision: str = "",
    base: str | None = None,
    offline: bool = False,
) -> Sequence[str]:
    """The command line that builds a role's image, to be run in the project's folder."""
    arguments = {"VERSION": topology.project.version, "REVISION": revision or "unknown"}
    arguments |= {"BASE": base} if base else {}
    arguments |= {"PIP_NO_INDEX": "1"} if offline else {}
    return (
        "docker",
        "build",
        *("--file", f"{out}/Dockerfile", "--target", role.value, "--tag", f"{topology.image(role)}:{tag}"),
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        *(("--network", "none") if offline else ()),
        ".",
    )


def _dockerfile(topology: Topology, out: str, base: str) -> str:
    project = topology.project
    head = filled(
        "Dockerfile.head.tmpl",
        mark=mark("images"),
        base=base,
        file=f"{out}/Dockerfile",
        name=topology.name,
        version=project.version,
        wheels=f"{out}/wheels",
        requirements=f"{out}/requirements",
    )
    return head + "".join(_stages(topology)) + "".join(_target(topology, role) for role in topology.roles)


def _stages(topology: Topology) -> Iterator[str]:
    for extras in sorted({EXTRAS[role] for role in topology.roles}):
        lock = topology.project.deploy.requirements
        yield filled(
            "Dockerfile.extras.tmpl",
            stage=_stage(extras),
            roles=", ".join(role.value for role in topology.roles if EXTRAS[role] == extras),
            options='"--require-hashes", ' if lock and _has_hashes(topology) else "",
            file=_requirements_file(extras),
            copies="\n".join(_copy(path) for path in topology.code),
            app=topology.app,
        )


def _target(topology: Topology, role: Role) -> str:
    return filled(
        "Dockerfile.role.tmpl",
        role=role.value,
        stage=_stage(EXTRAS[role]),
        app=topology.app,
        port=str(HTTP_PORT),
        user=str(USER),
        health=json.dumps(["/venv/bin/python", "-I", "-S", "-c", _HEALTH]),
        name=topology.name,
        version=topology.project.version,
        description=topology.project.description.replace("\\", "").replace('"', "'").replace("\n", " "),
    )


def _stage(extras: Sequence[str]) -> str:
    return "-".join(("with", *extras))


def _requirements_file(extras: Sequence[str]) -> str:
    return f"{'-'.join(extras)}.txt"


def _copy(path: str) -> str:
    """`src/shop` and `shop` become /app/shop, `shop.py` a file beside."""
    name = path.rpartition("/")[2]
    return f"COPY {path} /app/{name}" if name.endswith(".py") else f"COPY {path}/ /app/{name}/"


def _requirements(topology: Topology) -> Iterator[tuple[str, str]]:
    for extras in sorted({EXTRAS[role] for role in topology.roles}):
        lock = topology.project.deploy.requirements
        head = f"# {mark('images')}\n"
        if lock:
            yield _requirements_file(extras), head + _locked(topology, lock)
        else:
            needed = sorted({*extras, *(("otel",) if topology.project.wants_traces else ())})
            lines = [f"twofold[{','.join(needed)}]=={version('twofold')}", *topology.project.requirements]
            yield _requirements_file(extras), head + "".join(f"{line}\n" for line in lines)


def _locked(topology: Topology, lock: str) -> str:
    path = topology.project.folder / lock
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"[tool.twofold.deploy] requirements: {path} can't be read: {error.strerror}") from None


def _has_hashes(topology: Topology) -> bool:
    return "--hash=" in _locked(topology, topology.project.deploy.requirements)


def _dockerignore(topology: Topology, out: str) -> str:
    """Only what the Dockerfile copies is sent to the builder: no .git, no environment, no secret."""
    kept = [*topology.code, f"{out}/wheels", f"{out}/requirements"]
    lines = [f"# {mark('images')}", "*", *(f"!{path}" for path in kept), "**/__pycache__", "**/*.pyc"]
    return "".join(f"{line}\n" for line in lines)
