"""What pages of the docs need to run."""

from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer, postgres_server


@pytest.fixture
def own_postgres(postgres18: PostgresServer) -> Iterator[PostgresServer]:
    """One for a page alone, which makes databases and roles there as it likes. (`postgres18` says when there is none to
    be had.)"""
    with postgres_server("18") as server:
        yield server
