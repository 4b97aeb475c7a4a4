"""A group of its own: it needs root and the scripts of a cluster, so it runs only when asked for by its path."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.images import Images, prepared_images
from tests.containers.project import deploy, make_project
from tests.kubernetes.cluster import SCRIPTS, Cluster, running_cluster
from tests.kubernetes.deployed import ROLES, Deployed, reachable

HERE = Path(__file__).parent
SLOWEST_TEST_S = 4000
"""The first one may have to build Kubernetes."""

REPLICAS = 2


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked_for = any(Path(word.partition("::")[0]).resolve().is_relative_to(HERE) for word in config.args)
    return None if asked_for else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(SLOWEST_TEST_S))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if not SCRIPTS.is_dir():
        pytest.skip(f"the scripts that make a cluster are not in {SCRIPTS}")
    if os.getuid() != 0:
        pytest.fail("a cluster needs root")
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Images:
    folder = Path(tempfile.gettempdir()) / f"twofold-containers-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return prepared_images(cluster.docker, folder)


@pytest.fixture(scope="session")
def shop(cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The whole system, from nothing, by one `apply`; two of each role, as in production."""
    folder = make_project(tmp_path_factory.mktemp("shop"), images, tag="1.0.0")
    deploy(folder, "images", "--build", "--offline", "--tag", "1.0.0", **cluster.docker.environment)
    deployed = Deployed(cluster, folder)
    deployed.remove()
    try:
        deployed.apply("1.0.0")
        for role in ROLES:
            deployed.scale(role, REPLICAS)
        deployed.await_rollout(*ROLES, "gateway")
        with reachable(cluster) as deployed.port:
            yield deployed
    finally:
        deployed.keep_logs()
        deployed.remove()
