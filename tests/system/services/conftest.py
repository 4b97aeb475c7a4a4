"""What the fault tests share: a cluster on a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.system.services.cluster import Cluster, cluster_on


@pytest.fixture
def cluster(postgres18: PostgresServer, database18: str, tmp_path: Path) -> Iterator[Cluster]:
    """Migrated, with its roles, and nothing started. Leases are short, so that take-over is soon seen."""
    settings = {"TWOFOLD_LEASE_S": "1", "TWOFOLD_POLL_S": "0.5"}
    with cluster_on(postgres18, database18.rpartition("/")[2], tmp_path, settings) as made:
        yield made
