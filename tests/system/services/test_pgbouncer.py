"""Through PgBouncer in transaction mode: no session's settings, no prepared statements, no LISTEN."""

import asyncio

import pytest

from tests.conftest import FindTool
from tests.servers.pgbouncer import pgbouncer
from tests.system.faults.ledger import Ledger, Outcome
from tests.system.faults.workload import load_on
from tests.system.services.calls import calling
from tests.system.services.cluster import USERS, Cluster
from tests.system.services.evidence import wrongs
from tests.system.services.sizes import size


@pytest.mark.timeout(200)
async def test_every_role_works_through_pgbouncer(cluster: Cluster, find_tool: FindTool) -> None:
    ledger, wanted = Ledger(), size(1_000, 20_000)
    with pgbouncer(cluster.server, find_tool("pgbouncer"), ["postgres", *USERS.values()]) as bouncer:
        roles = ("command", "command", "query", "projector", "projector")
        await asyncio.to_thread(cluster.start_all, [cluster.service(role, port=bouncer.port) for role in roles])
        async with load_on(cluster.ports("command"), ledger, seed=17), calling(cluster, ledger) as caller:
            async with asyncio.timeout(60):
                while ledger.count(Outcome.OK) < wanted:
                    await caller.visible("a1")
        assert wrongs(cluster, ledger) == []
        clients = bouncer.show("CLIENTS")
    assert all(user in clients for user in USERS.values()), "every role came through it"
