"""A transaction that somebody leaves open holds up nobody, in this database or in another of the same server."""

import asyncio
import statistics
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.system.faults.ledger import Ledger
from tests.system.services.calls import Caller, calling
from tests.system.services.cluster import Cluster
from tests.system.services.evidence import wrongs
from tests.system.services.sizes import size

HERE = Path(__file__).parent
COUNT = size(100, 2_000)
MOST_ADDED_S = 0.1


@contextmanager
def left_open(url: str) -> Generator[None]:
    """A transaction that has written and has looked: it has a number and a snapshot."""
    with psycopg.connect(url) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("create table left_open (number int)")
        connection.execute("select count(*) from pg_class")
        yield
        connection.rollback()


async def lag_s(caller: Caller) -> float:
    """How long after its acknowledgement 95 of 100 commands are visible at the latest."""
    lags: list[float] = []
    for _ in range(COUNT):
        lags.append(await caller.visible("a1"))
        await asyncio.sleep(0.005)
    return statistics.quantiles(lags, n=20)[-1]


@pytest.mark.parametrize("where", ["the same database", "another database"])
async def test_a_transaction_left_open_adds_no_lag(cluster: Cluster, where: str) -> None:
    ledger, database = Ledger(), cluster.database if where == "the same database" else "postgres"
    await asyncio.to_thread(cluster.start, command=1, query=1, projector=1)
    async with calling(cluster, ledger) as caller:
        await caller.open("a1")
        before = await lag_s(caller)
        with left_open(cluster.server.url(database)):
            during = await lag_s(caller)
    assert wrongs(cluster, ledger) == []
    assert during - before <= MOST_ADDED_S, (before, during)
    print(f"accepted to visible, p95: {before * 1000:.1f} ms; with a transaction left open: {during * 1000:.1f} ms")


async def test_a_projector_that_waits_for_open_transactions_is_caught(cluster: Cluster) -> None:
    ledger = Ledger()
    planted = cluster.service("projector", entry=HERE / "planted_horizon.py")
    await asyncio.to_thread(cluster.start_all, [planted, cluster.service("command"), cluster.service("query")])
    async with calling(cluster, ledger) as caller:
        await caller.open("a1")
        await caller.visible("a1")
        with left_open(cluster.url):
            position = await caller.deposit("a1")
            answer = await caller.ask("LastPositionOf", "a1", Twofold_After=str(position), Prefer="wait=1")
    assert answer.status == 503, answer
