"""A backup by PostgreSQL's own tools, taken under load and restored into a fresh server, is the whole system."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.system.faults.ledger import Ledger, Outcome
from tests.system.faults.workload import load_on
from tests.system.services.calls import calling
from tests.system.services.cluster import Cluster, own_server
from tests.system.services.evidence import wrongs_of_rows
from tests.system.services.sizes import size

COMMANDS = size(500, 5_000)


async def dumped_under_load(cluster: Cluster, *parts: Sequence[str]) -> list[str]:
    """A dump with each of these options, one after another, with load all the time."""
    ledger, dumps = Ledger(), list[str]()
    await asyncio.to_thread(cluster.start, command=1, projector=1)
    async with load_on(cluster.ports("command"), ledger, seed=15, pause_s=0.02), asyncio.timeout(60):
        for number, part in enumerate(parts, 1):
            while ledger.count(Outcome.OK) < number * COMMANDS:
                await asyncio.sleep(0.05)
            dumps.append(await asyncio.to_thread(cluster.server.run, "pg_dump", *part, "-d", cluster.url))
    return dumps


def restore(server: PostgresServer, cluster: Cluster, dumps: list[str]) -> None:
    """Into a database that has the roles, which belong to the server and are in no dump, and nothing else."""
    server.sql("drop schema twofold_log cascade; drop schema twofold_read cascade", cluster.database)
    for dump in dumps:
        file = server.folder / "dump.sql"
        file.write_text(dump)
        server.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", cluster.url, "-f", str(file))


@pytest.mark.timeout(200)
async def test_a_restored_backup_has_every_event_and_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    dumps = await dumped_under_load(cluster, ())
    with own_server(tmp_path) as (server, restored):
        restore(server, restored, dumps)
        log = restored.log()
        assert log == cluster.log()[: len(log)]
        assert len(log) >= COMMANDS
        restored.start(command=1, query=1, projector=1)
        async with calling(restored, Ledger()) as caller:
            await caller.visible("a1")
        assert [event["position"] for event in restored.log()] == list(range(1, len(log) + 2))
        assert wrongs_of_rows(restored) == []


@pytest.mark.timeout(200)
async def test_a_checkpoint_beyond_the_restored_log_is_refused_with_the_remedy(
    cluster: Cluster, tmp_path: Path
) -> None:
    dumps = await dumped_under_load(cluster, ("-n", "twofold_log"), ("-n", "twofold_read"))
    with own_server(tmp_path) as (server, restored):
        restore(server, restored, dumps)
        projector = restored.service("projector")
        projector.begin()
        assert projector.wait(timeout_s=30) == 1
    assert "the event log ends at" in projector.words
    assert "restore the log" in projector.words, "the remedy is named"
