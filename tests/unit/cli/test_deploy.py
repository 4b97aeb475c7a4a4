"""`twofold deploy` in a project's folder."""

import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Twofold = Callable[..., Result]

PYPROJECT = """
[project]
name = "{name}"
version = "1.4.0"

[tool.twofold]
app = "{name}:app"
"""


@pytest.fixture
def project(folder: Path) -> Path:
    """A copy of the bank under a name of its own, so that its code is in the folder and nowhere else."""
    name = f"bank_{folder.name.replace('-', '_')}"
    bank = Path(sys.modules["examples.bank"].__file__ or "").parent
    shutil.copytree(bank, folder / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    (folder / "pyproject.toml").write_text(PYPROJECT.format(name=name))
    return folder


def docker(folder: Path, monkeypatch: pytest.MonkeyPatch, *, exit_code: int = 0) -> Path:
    """A program called docker that writes down how it was called."""
    programs = folder / "programs"
    programs.mkdir()
    calls = folder / "calls"
    (programs / "docker").write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexit {exit_code}\n')
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return calls


def test_compose_writes_everything_that_it_takes(project: Path, twofold: Twofold) -> None:
    done = twofold("deploy", "compose")
    assert done.exit_code == 0, done.output
    assert "wrote deploy/compose.yaml" in done.output
    for path in ("Dockerfile", ".env", "gateway/nginx.conf", "monitoring/alerts.yaml", "secrets/command-event-log"):
        assert (project / "deploy" / path).is_file(), path
    assert (
        f"COPY {project.name and next(project.glob('bank_*')).name}/" in (project / "deploy" / "Dockerfile").read_text()
    )
    assert (project / ".dockerignore").is_file()


def test_writing_again_changes_nothing_and_keeps_the_secrets(project: Path, twofold: Twofold) -> None:
    twofold("deploy", "compose")
    secret = (project / "deploy" / "secrets" / "query-read-store").read_text()
    done = twofold("deploy", "compose")
    assert done.output == "everything is as it should be\n"
    assert (project / "deploy" / "secrets" / "query-read-store").read_text() == secret


def test_nobody_else_gets_to_the_secrets(project: Path, twofold: Twofold) -> None:
    twofold("deploy", "compose")
    assert stat.S_IMODE((project / "deploy" / "secrets").stat().st_mode) == 0o700
    assert "/secrets/" in (project / "deploy" / ".gitignore").read_text()


def test_a_diff_shows_what_a_change_alters_and_writes_nothing(project: Path, twofold: Twofold) -> None:
    twofold("deploy", "kubernetes")
    assert twofold("deploy", "kubernetes", "--diff").exit_code == 0
    with (project / "pyproject.toml").open("a") as file:
        file.write("[tool.twofold.settings]\npage_size = 5000\n")
    done = twofold("deploy", "kubernetes", "--diff")
    assert done.exit_code == 1
    changed = [line for line in done.output.splitlines() if line.startswith("+ ")]
    assert changed == ["+  - TWOFOLD_PAGE_SIZE=5000"] * 3
    assert "PAGE_SIZE" not in (project / "deploy" / "k8s" / "base" / "kustomization.yaml").read_text()


def test_a_diff_is_of_the_tag_that_is_deployed_unless_one_is_given(project: Path, twofold: Twofold) -> None:
    for kind in ("compose", "kubernetes"):
        twofold("deploy", kind, "--tag", "1.3.0-abc")
        assert twofold("deploy", kind, "--diff").output == ""
        assert "1.5.0" in twofold("deploy", kind, "--diff", "--tag", "1.5.0").output


def test_a_service_that_is_gone_takes_its_manifest_along(project: Path, twofold: Twofold) -> None:
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(f"{text}[tool.twofold.services.desk]\nrole = 'query'\n")
    twofold("deploy", "kubernetes")
    assert (project / "deploy" / "k8s" / "base" / "desk.yaml").is_file()
    (project / "pyproject.toml").write_text(text)
    assert "removed deploy/k8s/base/desk.yaml" in twofold("deploy", "kubernetes").output


def test_a_file_of_someone_else_is_not_touched(project: Path, twofold: Twofold) -> None:
    (project / "deploy").mkdir()
    (project / "deploy" / "compose.yaml").write_text("services: {}\n")
    done = twofold("deploy", "compose")
    assert done.exit_code == 1
    assert "deploy/compose.yaml: not written by twofold deploy; nothing was written" in done.output
    assert list((project / "deploy").iterdir()) == [project / "deploy" / "compose.yaml"]


def test_a_dockerignore_of_the_project_stays(project: Path, twofold: Twofold) -> None:
    (project / ".dockerignore").write_text("tests\n")
    assert twofold("deploy", "images").exit_code == 0
    assert (project / ".dockerignore").read_text() == "tests\n"


def test_images_are_built_for_each_role(project: Path, twofold: Twofold, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = docker(project, monkeypatch)
    done = twofold("deploy", "images", "--build", "--tag", "1.4.0-abc", "--base", "mine:1", "--offline")
    assert done.exit_code == 0, done.output
    lines = calls.read_text().splitlines()
    assert [line.partition("--target ")[2].split()[0] for line in lines] == ["command", "query", "projector"]
    assert all("--build-arg BASE=mine:1" in line and "--network none" in line for line in lines)


def test_a_build_that_fails_is_a_failure(project: Path, twofold: Twofold, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(project, monkeypatch, exit_code=3)
    done = twofold("deploy", "images", "--build")
    assert done.exit_code == 1
    assert "docker could not build bank-command (exit code 3)" in done.output


def test_a_missing_docker_is_named(project: Path, twofold: Twofold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    done = twofold("deploy", "images", "--build")
    assert done.exit_code == 1
    assert "there is no docker to build with" in done.output


def test_the_tag_is_the_version_where_there_is_no_commit(project: Path, twofold: Twofold) -> None:
    assert twofold("deploy", "images", "--print-tag").output == "1.4.0\n"
    assert twofold("deploy", "images", "--print-tag", "--tag", "x").output == "x\n"


@pytest.mark.parametrize("out", [".", "..", "/tmp"])
def test_images_are_built_from_the_project_s_folder(project: Path, twofold: Twofold, out: str) -> None:
    done = twofold("deploy", "images", "--out", out)
    assert done.exit_code == 2
    assert "give a folder in" in done.output


def test_images_of_others_come_from_the_file_or_the_command_line(project: Path, twofold: Twofold) -> None:
    with (project / "pyproject.toml").open("a") as file:
        file.write("[tool.twofold.deploy.images]\npostgres = 'mine/postgres:15'\nnginx = 'mine/nginx:1'\n")
    twofold("deploy", "compose", "--nginx-image", "other/nginx:2")
    text = (project / "deploy" / "compose.yaml").read_text()
    assert "image: mine/postgres:15" in text
    assert "image: other/nginx:2" in text


def test_monitoring_and_pipeline_are_written(project: Path, twofold: Twofold) -> None:
    assert "wrote deploy/monitoring/alerts.yaml" in twofold("deploy", "monitoring").output
    assert "wrote .github/workflows/deploy.yaml" in twofold("deploy", "pipeline").output


def test_what_is_wrong_in_the_file_is_said(project: Path, twofold: Twofold) -> None:
    with (project / "pyproject.toml").open("a") as file:
        file.write("[tool.twofold.services.desk]\nrole = 'query'\ninclude = ['AccountOf']\n")
    done = twofold("deploy", "compose")
    assert done.exit_code == 2
    assert "a query service can't include 'AccountOf'; did you mean AccountsOf?" in done.output
