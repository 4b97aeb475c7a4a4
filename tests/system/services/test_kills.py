"""Any process may die at any moment, PostgreSQL too: nothing acknowledged is lost, and nothing is done twice."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.system.faults.ledger import Ledger, Outcome
from tests.system.faults.workload import load_on
from tests.system.services.cluster import Cluster, own_server
from tests.system.services.evidence import wrongs
from tests.system.services.sizes import size

HERE = Path(__file__).parent
LONGEST_S = size(600, 3_600)
PAUSE_S = 0.04  # some 300 commands a second: with more, a process that was killed takes seconds to come back
PLANT = """
do $$ begin
    execute replace(pg_get_functiondef('twofold_log.append'::regproc), $x$'on', true$x$, $x$'off', true$x$);
end $$
"""


async def under_fire(cluster: Cluster, *, kills: int, acknowledged: int, seed: int) -> Ledger:
    """Load while any process is killed 0.1 to 0.6 s after the last one is back."""
    moments, ledger = random.Random(seed), Ledger()
    async with load_on(cluster.ports("command"), ledger, seed=seed, pause_s=PAUSE_S), asyncio.timeout(LONGEST_S):
        while killed(cluster) < kills or ledger.count(Outcome.OK) < acknowledged:
            await asyncio.sleep(moments.uniform(0.1, 0.6))
            service = moments.choice(cluster.services)
            await asyncio.to_thread(service.kill)
            await asyncio.to_thread(service.start)
    return ledger


def killed(cluster: Cluster) -> int:
    return sum(service.kills for service in cluster.services)


@pytest.mark.timeout(LONGEST_S + 60)
async def test_processes_killed_under_load_lose_and_double_nothing(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.start, command=2, query=1, projector=2)
    ledger = await under_fire(cluster, kills=size(20, 200), acknowledged=size(2_000, 20_000), seed=8)
    assert wrongs(cluster, ledger) == []
    print(f"{killed(cluster)} kills; {ledger.count(Outcome.OK)} commands acknowledged; nothing lost, nothing doubled")


@pytest.mark.timeout(LONGEST_S + 60)
async def test_the_audit_catches_a_checkpoint_outside_of_the_transaction(cluster: Cluster) -> None:
    projectors = [cluster.service("projector", entry=HERE / "planted_checkpoint.py") for _ in range(2)]
    await asyncio.to_thread(cluster.start_all, [cluster.service("command"), *projectors])
    ledger = await under_fire(cluster, kills=8, acknowledged=300, seed=9)
    found = wrongs(cluster, ledger)
    assert any(", partition" in each for each in found), found[:5]


async def with_the_server_killed(
    server: PostgresServer, cluster: Cluster, times: int, *, goes_on: bool = True
) -> Ledger:
    """Load while the server is killed and started; at the end it `goes_on`, unless what was lost keeps it from that."""
    ledger, moments = Ledger(), random.Random(10)
    await asyncio.to_thread(cluster.start, command=2, query=1, projector=2)
    async with (
        load_on(cluster.ports("command"), ledger, seed=11, pause_s=PAUSE_S, timeout_s=15),
        asyncio.timeout(LONGEST_S),
    ):
        for _ in range(times):
            await acknowledged_more(ledger)
            await asyncio.sleep(moments.uniform(0.1, 0.6))
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(moments.uniform(0.1, 1.0))
            await asyncio.to_thread(server.start)
        if goes_on:
            await acknowledged_more(ledger)
    return ledger


async def acknowledged_more(ledger: Ledger) -> None:
    """Wait until the services work: a hundred commands more are answered."""
    wanted = ledger.count(Outcome.OK) + 100
    async with asyncio.timeout(30):
        while ledger.count(Outcome.OK) < wanted:
            await asyncio.sleep(0.05)


@pytest.mark.timeout(LONGEST_S + 60)
async def test_a_killed_postgres_loses_nothing_acknowledged(tmp_path: Path) -> None:
    times = size(3, 10)
    with own_server(tmp_path) as (server, cluster):
        ledger = await with_the_server_killed(server, cluster, times)
        assert wrongs(cluster, ledger) == []
        assert all(service.runs for service in cluster.services), "a service ended when its database did"
    print(f"PostgreSQL killed {times} times; {ledger.count(Outcome.OK)} acknowledged; nothing lost, nothing doubled")


@pytest.mark.timeout(LONGEST_S + 60)
async def test_the_audit_catches_a_log_that_acknowledges_before_it_is_durable(tmp_path: Path) -> None:
    with own_server(tmp_path, synchronous_commit="off", wal_writer_delay="10s") as (server, cluster):
        server.sql(PLANT, cluster.database)
        ledger = await with_the_server_killed(server, cluster, 1, goes_on=False)
        found = wrongs(cluster, ledger, settle_s=2)
    assert any("0 times in the log" in each for each in found), found[:5]
