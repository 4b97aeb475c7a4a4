"""A PostgreSQL server for one side of one run, on its folder, as durable as PostgreSQL is by default; and the services
of an application on it, each a process that logs in with the rights of its role."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.harness import Job
from benchmarks.servers import Server, twofold, twofold_server
from tests.servers.postgres import PostgresServer, postgres_server

__all__ = ["bare_server", "facts", "migrated", "services", "url_of"]

SHOWN = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "commit_delay",
    "jit",
)
GROUPS = {
    "command": "twofold_writer",
    "query": "twofold_reader",
    "projector": "twofold_projector",
    "all": "twofold_writer, twofold_reader, twofold_projector",
}


@contextmanager
def bare_server(job: Job) -> Iterator[PostgresServer]:
    """With an empty database and nothing of ours."""
    folder = Path(mkdtemp(prefix="server-", dir=job.folder))
    job.folder.chmod(0o755)  # the server runs as another user when we are root
    without_socket = {"unix_socket_directories": ""}  # whose path may have 107 bytes, and the folder is deep
    with postgres_server(job.postgres, folder=folder, options=without_socket) as server:
        yield server


@contextmanager
def migrated(job: Job, app: str = "benchmarks.bank:app") -> Iterator[PostgresServer]:
    """With the schema of this release, and for each role a user who has its rights and no others."""
    with bare_server(job) as server:
        twofold("schema", "migrate", app, event_log=server.url())
        twofold("schema", "roles", app, event_log=server.url())
        for role, groups in GROUPS.items():
            server.sql(f"CREATE USER bench_{role} IN ROLE {groups}")
        yield server


def url_of(server: PostgresServer, role: str = "all") -> str:
    """As the role's user, by default one who has the rights of all."""
    return server.url(user=f"bench_{role}")


@contextmanager
def services(server: PostgresServer, *roles: str, app: str = "benchmarks.bank:app") -> Iterator[Sequence[Server]]:
    """One process of `twofold serve` for each role named, ready."""
    with ExitStack() as stack:
        yield [stack.enter_context(twofold_server(app, url_of(server, role), role=role)) for role in roles]


def facts(job: Job) -> Mapping[str, object]:
    with bare_server(job) as server:
        return {"postgres": {name: server.sql(f"SHOW {name}") for name in SHOWN}}
