"""Projectors share out the partitions by themselves, whoever comes, goes, dies or stands still."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.proxy import Lost, proxy_to
from tests.system.faults.ledger import Ledger
from tests.system.faults.process import ServiceProcess
from tests.system.faults.workload import load_on
from tests.system.services.cluster import Cluster, until
from tests.system.services.evidence import Shares, wrongs
from tests.system.services.sizes import size

HERE = Path(__file__).parent
PAUSE_S = 0.05
LEASE_S = 1.0
PARTITIONS = 17  # of the three read models together


def shared_evenly(shares: Shares, among: int) -> Callable[[], bool]:
    """True once all partitions are held, by so many, and none has two more than another."""

    def look() -> bool:
        found = shares.by_holder()
        even = max(found.values(), default=0) - min(found.values(), default=0) <= 1
        return "" not in found and len(found) == among and even

    return look


async def eventually(condition: Callable[[], object], what: str) -> float:
    return await asyncio.to_thread(until, condition, what)


async def test_partitions_are_shared_out_anew_when_projectors_come_and_go(cluster: Cluster) -> None:
    ledger = Ledger()
    await asyncio.to_thread(cluster.start, command=1, projector=1)
    with Shares(cluster) as shares:
        async with load_on(cluster.ports("command"), ledger, seed=1, pause_s=PAUSE_S):
            await eventually(shared_evenly(shares, 1), "one holds all")
            await asyncio.to_thread(cluster.start, projector=2)
            await eventually(shared_evenly(shares, 3), "three hold their parts")
            for leaving in cluster.of("projector")[:2]:
                await asyncio.to_thread(leaving.end)
            seconds = await eventually(shared_evenly(shares, 1), "the last one holds all")
    assert wrongs(cluster, ledger) == []
    assert seconds <= LEASE_S, "what is given back in good order is taken at once"


async def test_a_killed_projectors_partitions_are_taken_over_within_a_lease_and_a_second(cluster: Cluster) -> None:
    ledger = Ledger()
    await asyncio.to_thread(cluster.start, command=1, projector=2)
    with Shares(cluster) as shares:
        async with load_on(cluster.ports("command"), ledger, seed=2, pause_s=PAUSE_S):
            for _ in range(size(3, 10)):
                await eventually(shared_evenly(shares, 2), "both hold their parts")
                dying = random.Random(3).choice(cluster.of("projector"))
                dying.kill()
                seconds = await eventually(shared_evenly(shares, 1), "the other one holds all")
                assert seconds <= LEASE_S + 1, seconds
                await asyncio.to_thread(cluster.start_all, [dying])
    assert wrongs(cluster, ledger) == []


@pytest.mark.timeout(240)
async def test_a_holder_cut_off_in_the_middle_of_a_save_keeps_nobody_from_its_partitions(cluster: Cluster) -> None:
    ledger = Ledger()
    with proxy_to(cluster.server.port) as proxy, Shares(cluster) as shares:
        proxy.cut(b"twofold_move", 0, Lost.REST)
        lonely = cluster.service("projector", port=proxy.port)
        await asyncio.to_thread(cluster.start_all, [cluster.service("command"), lonely, cluster.service("projector")])
        async with load_on(cluster.ports("command"), ledger, seed=6, pause_s=PAUSE_S):
            for _ in range(size(2, 10)):
                await eventually(shared_evenly(shares, 2), "both hold their parts")
                proxy.cut(b"twofold_move", 1, Lost.REST)
                await eventually(lambda: not proxy.cuts_left, "it is cut off")
                assert await eventually(shared_evenly(shares, 1), "the other one holds all") <= LEASE_S + 1
                proxy.heal()
    assert wrongs(cluster, ledger) == []


async def stopped_and_continued(cluster: Cluster, times: int, entry: Path | None = None) -> list[str]:
    """Hold a projector still for twice its lease, so that the other takes its part, and let it go on; audit."""
    ledger, moments = Ledger(), random.Random(4)
    projectors = [cluster.service("projector", entry=entry) for _ in range(2)]
    await asyncio.to_thread(cluster.start_all, [cluster.service("command"), *projectors])
    with Shares(cluster) as shares:
        async with load_on(cluster.ports("command"), ledger, seed=5, pause_s=0.01):
            for number in range(times):
                await eventually(shared_evenly(shares, 2), "both hold their parts")
                await asyncio.sleep(moments.uniform(0, 0.1))
                await asyncio.to_thread(stand_still, projectors[number % 2], shares)
    return wrongs(cluster, ledger)


def stand_still(projector: ServiceProcess, shares: Shares) -> None:
    projector.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    until(shared_evenly(shares, 1), "the other one holds all")
    time.sleep(max(0.0, stopped + 2 * LEASE_S - time.monotonic()))
    projector.signal(signal.SIGCONT)


@pytest.mark.timeout(240)
async def test_a_holder_that_stood_still_past_its_lease_writes_nothing_twice(cluster: Cluster) -> None:
    assert await stopped_and_continued(cluster, size(4, 20)) == []


@pytest.mark.timeout(240)
async def test_the_audit_catches_a_holder_that_is_not_fenced(cluster: Cluster) -> None:
    found = await stopped_and_continued(cluster, 2, HERE / "planted_unfenced.py")
    assert any(", partition" in each for each in found), found[:5]
