"""`twofold deploy`: the application in containers, as files to look at, commit and apply."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from twofold.cli.application import chosen_application, load_application
from twofold.cli.options import app_argument

if TYPE_CHECKING:
    from twofold.deploy.project import ImageNames
    from twofold.deploy.topology import Topology

__all__ = ["deploy"]

F = TypeVar("F", bound=Callable[..., Any])

_tag_option = click.option("--tag", metavar="TAG", help="Of the images. [default: the project's version and commit]")
_diff_option = click.option(
    "--diff",
    "only_diff",
    is_flag=True,
    help="Write nothing: show what would change, and exit with 1 if anything would.",
)


def _out_option(default: str) -> Callable[[F], F]:
    return click.option("--out", default=default, show_default=True, metavar="FOLDER", help="Where the files are.")


def _image_option(name: str, what: str) -> Callable[[F], F]:
    return click.option(f"--{name}", metavar="IMAGE", help=f"{what}. [default: as pyproject.toml says]")


@click.group()
def deploy() -> None:
    """Write files that run the application in containers.

    Images, Compose, Kubernetes, monitoring, a pipeline: everything is made from the application and from
    pyproject.toml: [tool.twofold.services.*] splits roles into services, [tool.twofold.settings] has settings,
    [tool.twofold.deploy] names. Run it again when they change; --diff shows what that alters. Files that it did not
    write are never touched.
    """


@deploy.command()
@app_argument
@_out_option("deploy")
@_tag_option
@_image_option("base", "What images are built on")
@click.option("--build", is_flag=True, help="Build the images with Docker, too.")
@click.option("--offline", is_flag=True, help="Build without a network, from the wheels in FOLDER/wheels.")
@click.option("--print-tag", is_flag=True, help="Only print the tag that images would have.")
@_diff_option
def images(
    app: str | None,
    out: str,
    tag: str | None,
    base: str | None,
    build: bool,
    offline: bool,
    print_tag: bool,
    only_diff: bool,
) -> None:
    """Write the Dockerfile, with a target for each role, and build the images.

    Every role's image holds only what that role needs. They are named NAME-ROLE:TAG.
    """
    from twofold.deploy.dockerfile import image_files

    topology = _topology(app)
    tag = tag or _default_tag(topology)
    if print_tag:
        click.echo(tag)
        return
    folder = _inside(topology, out)
    base = base or topology.project.deploy.images.base
    files = _with_own_dockerignore(topology, image_files(topology, out=folder, base=base))
    _finish(topology, files, kind="images", only_diff=only_diff)
    if build and not only_diff:
        _build(topology, out=folder, tag=tag, base=base, offline=offline)


@deploy.command()
@app_argument
@_out_option("deploy")
@_tag_option
@_image_option("base", "What images are built on")
@_image_option("postgres-image", "PostgreSQL")
@_image_option("nginx-image", "The gateway")
@_diff_option
def compose(app: str | None, out: str, tag: str | None, only_diff: bool, **chosen: str | None) -> None:
    """Write a Compose file for the whole system on one machine: databases, migration, services, gateway.

    "docker-compose up -d" in the folder builds what is missing and starts it; the gateway listens on port 8080 (PORT in
    .env). Passwords are made once, in FOLDER/secrets.
    """
    from twofold.deploy.compose import compose_files
    from twofold.deploy.dockerfile import image_files
    from twofold.deploy.files import tag_in
    from twofold.deploy.monitoring import monitoring_files

    topology = _topology(app)
    folder = _inside(topology, out)
    image_names = _image_names(topology, chosen)
    kept = tag_in(Path(out)) if only_diff else None
    made = compose_files(
        topology,
        tag=tag or kept or _default_tag(topology),
        context=Path(os.path.relpath(".", folder)).as_posix(),
        dockerfile=f"{folder}/Dockerfile",
        images=image_names,
    )
    made = {**made, **{f"monitoring/{path}": text for path, text in monitoring_files(topology).items()}}
    files = {f"{folder}/{path}": text for path, text in made.items()}
    files |= _with_own_dockerignore(topology, image_files(topology, out=folder, base=image_names.base))
    _finish(topology, files, kind="compose", only_diff=only_diff, secrets=f"{folder}/secrets")


@deploy.command()
@app_argument
@_out_option("deploy/k8s")
@_tag_option
@_image_option("postgres-image", "PostgreSQL, for the dev overlay")
@_image_option("nginx-image", "The gateway")
@_diff_option
def kubernetes(app: str | None, out: str, tag: str | None, only_diff: bool, **chosen: str | None) -> None:
    """Write manifests for Kubernetes: a Kustomize base, and the overlays dev and production.

    "kubectl apply -k FOLDER/overlays/dev" runs everything, databases too, with passwords made once. The overlay
    production refers to secrets of the cluster, which its kustomization.yaml lists.
    """
    from twofold.deploy.files import tag_in
    from twofold.deploy.kubernetes.overlays import kubernetes_files

    topology = _topology(app)
    kept = tag_in(Path(out)) if only_diff else None
    made = kubernetes_files(topology, tag=tag or kept or _default_tag(topology), images=_image_names(topology, chosen))
    files = {f"{out}/{path}": text for path, text in made.items()}
    _finish(topology, files, kind="kubernetes", only_diff=only_diff, secrets=f"{out}/overlays/dev/secrets")


@deploy.command()
@app_argument
@_out_option("deploy/monitoring")
@_diff_option
def monitoring(app: str | None, out: str, only_diff: bool) -> None:
    """Write alert rules and scrape targets for Prometheus, and a dashboard for Grafana."""
    from twofold.deploy.monitoring import monitoring_files

    topology = _topology(app)
    files = {f"{out}/{path}": text for path, text in monitoring_files(topology).items()}
    _finish(topology, files, kind="monitoring", only_diff=only_diff)


@deploy.command()
@app_argument
@_out_option(".github/workflows")
@click.option("--kubernetes", default="deploy/k8s", show_default=True, metavar="FOLDER", help="Of the manifests.")
@_diff_option
def pipeline(app: str | None, out: str, kubernetes: str, only_diff: bool) -> None:
    """Write a pipeline for GitHub Actions: test, build, scan, push, deploy, roll back."""
    from twofold.deploy.pipeline import pipeline_files

    topology = _topology(app)
    files = {f"{out}/{path}": text for path, text in pipeline_files(topology, kubernetes=kubernetes).items()}
    _finish(topology, files, kind="pipeline", only_diff=only_diff)


def _topology(app: str | None) -> Topology:
    """The application and the project in the current folder, as services."""
    from twofold.deploy.project import Project, local_modules
    from twofold.deploy.topology import Topology

    spec = chosen_application(app)
    application = load_application(spec)
    folder = Path.cwd().resolve()
    return Topology.of(spec, application, Project.read(folder), local_modules(folder))


def _default_tag(topology: Topology) -> str:
    from twofold.deploy.project import commit_of, tag_of

    return tag_of(topology.project.version, commit_of(topology.project.folder))


def _image_names(topology: Topology, chosen: Mapping[str, str | None]) -> ImageNames:
    import msgspec

    given = {name.removesuffix("_image"): image for name, image in chosen.items() if image is not None}
    return msgspec.structs.replace(topology.project.deploy.images, **given)


def _inside(topology: Topology, out: str) -> str:
    """The folder as a path in the project; UsageError when it is not in it, since builders see nothing else."""
    folder = topology.project.folder
    path = (folder / out).resolve()
    if path == folder or not path.is_relative_to(folder):
        raise click.UsageError(f"--out {out}: images are built from the project's folder; give a folder in {folder}")
    return path.relative_to(folder).as_posix()


def _with_own_dockerignore(topology: Topology, files: Mapping[str, str]) -> dict[str, str]:
    """Without .dockerignore where the project has one of its own."""
    from twofold.deploy.files import foreign

    own = foreign(topology.project.folder, {".dockerignore": ""})
    return {path: text for path, text in files.items() if path not in own}


def _finish(
    topology: Topology, files: Mapping[str, str], *, kind: str, only_diff: bool, secrets: str | None = None
) -> None:
    """Show what would change and exit, or write it."""
    from twofold.deploy.files import diff, foreign, write

    folder = topology.project.folder
    if only_diff:
        text = diff(folder, files, kind=kind)
        click.echo(text, nl=False)
        click.get_current_context().exit(1 if text else 0)
    if others := foreign(folder, files):
        raise click.ClickException(
            f"{', '.join(others)}: not written by twofold deploy; nothing was written (move it, or give another --out)"
        )
    changed, removed = write(folder, files, kind=kind)
    for path in changed:
        click.echo(f"wrote {path}")
    for path in removed:
        click.echo(f"removed {path}")
    made = _make_secrets(topology, folder / secrets) if secrets else 0
    if made:
        click.echo(f"made {made} secrets in {secrets}")
    if not changed and not removed and not made:
        click.echo("everything is as it should be")


def _make_secrets(topology: Topology, folder: Path) -> int:
    """Make those that are missing; only this user gets into the folder. Containers of other users read the files."""
    from twofold.deploy.logins import missing_secrets

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    missing = missing_secrets(topology, known)
    for name, text in missing.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o644)
    return len(missing)


def _build(topology: Topology, *, out: str, tag: str, base: str, offline: bool) -> None:
    from twofold.deploy.dockerfile import build_command
    from twofold.deploy.project import commit_of

    revision = commit_of(topology.project.folder)
    for role in topology.roles:
        command = build_command(topology, role, out=out, tag=tag, revision=revision, base=base, offline=offline)
        click.echo(f"building {topology.image(role)}:{tag}")
        try:
            done = subprocess.run(command, cwd=topology.project.folder, check=False)
        except FileNotFoundError:
            raise click.ClickException(
                "there is no docker to build with; install it, or run the build elsewhere"
            ) from None
        if done.returncode != 0:
            raise click.ClickException(f"docker could not build {topology.image(role)} (exit code {done.returncode})")
