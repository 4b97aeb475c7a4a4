"""Several processes of each role on one PostgreSQL, each as the user that its role needs; all gone at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.postgres import PostgresServer, postgres_server
from tests.system.cli_process import ROOT, environment, twofold
from tests.system.faults.process import ServiceProcess, twofold_json

__all__ = ["APP", "Cluster", "cluster_on", "own_server", "until"]

APP = "tests.system.services.bank:app"
USERS = {"command": "bank_command", "query": "bank_query", "projector": "bank_projector"}
GROUPS = {"command": "twofold_writer", "query": "twofold_reader", "projector": "twofold_projector"}


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> float:
    """Seconds until the condition held; AssertionError with `what` when it never does."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, f"{what}: not within {timeout_s} seconds"
        time.sleep(0.01)
    return time.monotonic() - started


class Cluster:
    """`settings` are those of every service; those of one are given when it is made."""

    def __init__(self, server: PostgresServer, database: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.server, self.database, self.folder, self.settings = server, database, folder, settings
        self.services: list[ServiceProcess] = []

    @property
    def url(self) -> str:
        """As the superuser."""
        return self.server.url(self.database)

    def prepare(self) -> None:
        """The schema, the roles' groups, and a user who logs in for each."""
        for word in ("migrate", "roles"):
            twofold("schema", word, APP, cwd=ROOT, settings={"TWOFOLD_EVENT_LOG": self.url})
        for role, user in USERS.items():
            self.server.sql(
                f"do $$ begin if not exists (select from pg_roles where rolname = '{user}') "
                f"then create role {user} login; end if; end $$; grant {GROUPS[role]} to {user}"
            )

    def _twofold(self, *words: str) -> list[Any]:
        return twofold_json(*words, APP, "--json", environment=environment(TWOFOLD_EVENT_LOG=self.url))

    def service(
        self, role: str, *, port: int | None = None, entry: Path | None = None, app: str = APP, **settings: str
    ) -> ServiceProcess:
        """A process that is not yet started; `port` leads it to PostgreSQL through something else."""
        url = self.server.url(self.database, USERS[role], port=port)
        own = {"TWOFOLD_EVENT_LOG": url, "TWOFOLD_LOG_FORMAT": "json", **self.settings, **settings}
        output = self.folder / f"{role}-{len(self.services)}.log"
        service = ServiceProcess(role, app, own, output, entry)
        self.services.append(service)
        return service

    def start(self, **counts: int) -> None:
        """So many of each role, at once: `start(command=2, projector=3)`; returns when all are ready."""
        made = [self.service(role) for role, count in counts.items() for _ in range(count)]
        self.start_all(made)

    def start_all(self, services: list[ServiceProcess]) -> None:
        for service in services:
            service.begin()
        with ThreadPoolExecutor(len(services)) as pool:
            list(pool.map(ServiceProcess.await_ready, services))

    def of(self, role: str) -> list[ServiceProcess]:
        return [service for service in self.services if service.role == role]

    def ports(self, role: str) -> list[int]:
        return [service.port for service in self.of(role)]

    def stop(self) -> None:
        for service in self.services:
            service.stop()

    # --- what it holds ---

    def log(self) -> list[dict[str, Any]]:
        """Every event, as `twofold events tail --json` prints it."""
        return self._twofold("events", "tail")

    def read_models(self) -> list[dict[str, Any]]:
        return self._twofold("read-models", "list")[0]

    def settle(self, timeout_s: float) -> list[str]:
        """Wait until every read model stands at the head of the log; returns those that don't in time."""
        deadline = time.monotonic() + timeout_s
        while behind := [each for each in self.read_models() if each["lag_events"]]:
            if time.monotonic() > deadline:
                return [f"{each['name']} does not settle: {each}" for each in behind]
        return []


@contextmanager
def cluster_on(server: PostgresServer, database: str, folder: Path, settings: Mapping[str, str]) -> Generator[Cluster]:
    """Ready to be started on a database of its own; every process ends with the block, however that ends."""
    cluster = Cluster(server, database, folder, settings)
    try:
        cluster.prepare()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def own_server(folder: Path, **options: str) -> Generator[tuple[PostgresServer, Cluster]]:
    """One that may be killed: nobody else is on it."""
    with postgres_server("18", options=options) as server:
        server.sql("create database bank")
        with cluster_on(server, "bank", folder, {"TWOFOLD_LEASE_S": "1"}) as cluster:
            yield server, cluster
