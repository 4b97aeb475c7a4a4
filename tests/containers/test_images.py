"""What is in an image, and what is not."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.containers.dockerd import Docker
from tests.containers.images import Images
from tests.containers.project import deploy, make_project

ROLES = ("command", "query", "projector")
MEBIBYTE = 2**20
LARGEST_MIB = 150
BUILDERS = ("gcc", "cc", "make", "ld", "git", "curl")


@pytest.fixture(scope="module")
def built(docker: Docker, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project whose images are built, without a network, by the classic builder."""
    folder = make_project(tmp_path_factory.mktemp("images"), images, tag="2.0.0")
    deploy(folder, "images", "--build", "--offline", "--tag", "2.0.0", **docker.environment)
    return folder


@pytest.mark.parametrize("role", ROLES)
def test_an_image_is_little_more_than_its_base(docker: Docker, images: Images, built: Path, role: str) -> None:
    size, base = (int(docker("inspect", "--format", "{{.Size}}", name)) for name in (f"shop-{role}:2.0.0", images.base))
    assert size - base < LARGEST_MIB * MEBIBYTE


@pytest.mark.parametrize("role", ROLES)
def test_an_image_says_what_it_is(docker: Docker, built: Path, role: str) -> None:
    configuration = json.loads(docker("inspect", f"shop-{role}:2.0.0"))[0]["Config"]
    labels = configuration["Labels"]
    assert labels["org.opencontainers.image.title"] == f"shop-{role}"
    assert labels["org.opencontainers.image.version"] == "2.0.0"
    assert labels["org.opencontainers.image.description"] == "Sells things"
    assert "org.opencontainers.image.revision" in labels
    assert configuration["User"] == "10001:10001"
    assert configuration["Cmd"] == ["serve", role]
    assert configuration["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize("role", ROLES)
def test_nothing_that_builds_is_in_an_image(docker: Docker, built: Path, role: str) -> None:
    code = f"import shutil; print([each for each in {BUILDERS} if shutil.which(each)])"
    assert docker("run", "--rm", "--entrypoint", "/venv/bin/python", f"shop-{role}:2.0.0", "-c", code) == "[]"
    missing = "import importlib.util as u; print([u.find_spec(n) for n in ('pip', 'pytest', 'setuptools')])"
    done = docker("run", "--rm", "--entrypoint", "/venv/bin/python", f"shop-{role}:2.0.0", "-c", missing)
    assert done == "[None, None, None]"


def test_an_image_holds_no_file_of_the_project_but_its_code(docker: Docker, built: Path) -> None:
    code = "import os; print(sorted(os.listdir('/app')), os.path.exists('/wheels'))"
    done = docker("run", "--rm", "--entrypoint", "/venv/bin/python", "shop-query:2.0.0", "-c", code)
    assert done == "['examples'] False"


def test_it_runs_without_a_shell_and_without_a_file_that_can_be_written(docker: Docker, built: Path) -> None:
    """The shell is hidden behind an empty file: whatever needs one fails."""
    empty = built / "empty"
    empty.touch()
    hidden = (
        "--volume",
        f"{empty}:/bin/sh:ro",
        "--volume",
        f"{empty}:/bin/bash:ro",
        "--volume",
        f"{empty}:/bin/dash:ro",
    )
    locked = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
    done = docker("run", "--rm", "--network", "none", *hidden, *locked, "shop-command:2.0.0", "check")
    assert done.startswith("shop: 3 aggregates")


def test_nobody_in_it_is_root(docker: Docker, built: Path) -> None:
    code = "import os; print(os.getuid(), os.getgid(), os.access('/app', os.W_OK), os.access('/venv', os.W_OK))"
    done = docker("run", "--rm", "--entrypoint", "/venv/bin/python", "shop-command:2.0.0", "-c", code)
    assert done == "10001 10001 False False"


def test_a_command_that_is_none_fails(docker: Docker, built: Path) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", "shop-command:2.0.0", "serve", "nothing"],
        env=docker.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "is not one of" in done.stderr
