"""A group of its own: it needs root, Docker and debootstrap, so it runs only when asked for by its path."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.dockerd import Docker, docker_daemon
from tests.containers.images import Images, prepared_images
from tests.containers.project import make_project
from tests.containers.stack import Stack

PROGRAMS = ("dockerd", "docker", "docker-compose", "debootstrap", "ip")
HERE = Path(__file__).parent
SLOWEST_TEST_S = 1200


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked_for = any(Path(word.partition("::")[0]).resolve().is_relative_to(HERE) for word in config.args)
    return None if asked_for else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(SLOWEST_TEST_S))


@pytest.fixture(scope="session")
def cache() -> Path:
    """What is kept from one run to the next: Docker's images, and the file systems that they are made from."""
    folder = Path(tempfile.gettempdir()) / f"twofold-containers-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def docker(cache: Path) -> Iterator[Docker]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.getuid() != 0 or missing:
        text = f"container tests need root, and {', '.join(PROGRAMS)}; missing: {', '.join(missing) or 'root'}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    with docker_daemon(cache / "docker") as daemon:
        yield daemon


@pytest.fixture(scope="session")
def images(docker: Docker, cache: Path) -> Images:
    return prepared_images(docker, cache)


@pytest.fixture(scope="session")
def project(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop as a project of its own, with the files that `twofold deploy compose` writes."""
    return make_project(tmp_path_factory.mktemp("shop"), images, tag="1.0.0")


@pytest.fixture(scope="session")
def stack(docker: Docker, project: Path) -> Iterator[Stack]:
    """The whole system, up from nothing with one command."""
    stack = Stack(docker, project / "deploy")
    try:
        stack.up()
        yield stack
    finally:
        stack.keep_logs()
        stack.down()
