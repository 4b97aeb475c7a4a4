import pytest

from tests.unit.deploy.projects import PLAIN, SPLIT, topology_of
from twofold.deploy.topology import Topology


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Topology:
    """The shop with a service for each role."""
    return topology_of(PLAIN, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def split(tmp_path_factory: pytest.TempPathFactory) -> Topology:
    """The shop with its services split by component."""
    return topology_of(SPLIT, tmp_path_factory.mktemp("split"))


@pytest.fixture(params=["plain", "split"])
def topology(request: pytest.FixtureRequest) -> Topology:
    """Each of the two in turn."""
    found: Topology = request.getfixturevalue(request.param)
    return found
