"""What the tests of Twofold itself share."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.postgres import VERSIONS, PostgresServer, find_binaries, postgres_server

FindTool = Callable[..., Path]


@pytest.fixture(scope="session")
def find_tool() -> FindTool:
    """Find a program on PATH by the first of its names that is there.

    Where none is, the test is skipped on a laptop and fails under CI=true: a gate that quietly skips guards nothing.
    """

    def find(*names: str) -> Path:
        for name in names:
            if found := shutil.which(name):
                return Path(found)
        missing = f"none of {', '.join(names)} is on PATH: install it (see .ci/run)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)

    return find


_HASTY = {"fsync": "off", "full_page_writes": "off"}
"""These servers are thrown away, and every test makes a database: who tests what survives a crash starts another."""


def _running(version: str) -> Iterator[PostgresServer]:
    if find_binaries(version) is None:
        missing = f"PostgreSQL {version} is not installed (see .ci/run)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with postgres_server(version, options=_HASTY) as server:
        yield server


@pytest.fixture(scope="session")
def postgres18() -> Iterator[PostgresServer]:
    """The newest PostgreSQL, for the whole session. Tests that kill or fill a server start their own."""
    yield from _running("18")


@pytest.fixture(scope="session")
def postgres15() -> Iterator[PostgresServer]:
    """The oldest PostgreSQL that is supported."""
    yield from _running("15")


@pytest.fixture(params=VERSIONS)
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """Each supported PostgreSQL in turn."""
    server: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    return server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database on each supported PostgreSQL, as its superuser."""
    yield from _fresh(postgres)


@pytest.fixture
def database18(postgres18: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database on the newest PostgreSQL only."""
    yield from _fresh(postgres18)


_SPARE: dict[PostgresServer, list[str]] = {}
"""Databases that tests are done with, empty again. Making one takes a third of a second, emptying one a hundredth."""

_EMPTIED = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid();
drop schema if exists twofold_log, twofold_read cascade;
select (select count(*) from pg_namespace where nspname !~ '^(pg_.*|public|information_schema)$')
       + (select count(*) from pg_class where relnamespace = 'public'::regnamespace)
       + (select count(*) from pg_db_role_setting join pg_database on oid = setdatabase
           where datname = current_database())
       + (select count(*) from pg_database where datname = current_database() and datacl is not null);
"""


def _fresh(server: PostgresServer) -> Iterator[str]:
    spare = _SPARE.setdefault(server, [])
    if spare:
        name = spare.pop()
    else:
        name = f"test_{uuid4().hex}"
        server.sql(f"create database {name}")
    yield server.url(name)
    left_over = server.sql(_EMPTIED, name).splitlines()[-1]
    if left_over == "0":
        spare.append(name)
    else:
        server.sql(f"drop database {name} with (force)")
