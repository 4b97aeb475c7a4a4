"""Processes under load killed with SIGKILL at random moments lose nothing, double nothing, and fold nothing twice."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.crash.evidence import Journal, balances, events
from tests.system.crash.service import Service
from tests.system.faults.ledger import Ledger, Outcome, audit, dense
from tests.system.faults.workload import Workload

HERE = Path(__file__).parent
LONGEST_S = 300


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.stop()


async def under_fire(service: Service, *, kills: int, acknowledged: int, seed: int) -> Ledger:
    """Load without pause while the service is killed 0.1 to 0.6 s after every start; then a quiet end."""
    moments, ledger = random.Random(seed), Ledger()
    workload = Workload([service.port], ledger, seed)
    await asyncio.to_thread(service.start)
    await workload.open_accounts()
    load = asyncio.create_task(workload.run())
    async with asyncio.timeout(LONGEST_S):
        while service.kills < kills or ledger.count(Outcome.OK) < acknowledged:
            await asyncio.sleep(moments.uniform(0.1, 0.6))
            assert not load.done(), load
            await asyncio.to_thread(service.kill)
            await asyncio.to_thread(service.start)
        workload.going = False
        await load
        await workload.settle_doubts()
    return ledger


def wrongs(service: Service, ledger: Ledger) -> list[str]:
    """End the service in order (it folds to the head first), and audit what is on disk."""
    service.settle_and_stop()
    return audit(ledger, events(service), balances(service.folder))


@pytest.mark.timeout(LONGEST_S + 60)
async def test_a_hundred_kills_under_load_lose_and_double_nothing(service: Service) -> None:
    await asyncio.to_thread(service.start)
    journal = Journal(service)
    await asyncio.to_thread(service.kill)
    try:
        ledger = await under_fire(service, kills=100, acknowledged=20_000, seed=20)
        assert wrongs(service, ledger) == []
        log = events(service)
        await journal.reaches(len(log))
        assert dense("positions that a subscriber was given", journal.positions()) == []
    finally:
        journal.stop()
    print(
        f"{service.kills} kills; commands: {ledger.count(Outcome.OK)} ok, {ledger.count(Outcome.FAILED)} failed, "
        f"{ledger.count(Outcome.UNKNOWN)} unknown; {len(log)} events; nothing lost, nothing doubled"
    )


@pytest.mark.timeout(LONGEST_S + 60)
async def test_the_audit_catches_a_checkpoint_outside_of_the_transaction(tmp_path: Path) -> None:
    service = Service(tmp_path, HERE / "planted_checkpoint.py")
    try:
        ledger = await under_fire(service, kills=8, acknowledged=500, seed=21)
        found = wrongs(service, ledger)
    finally:
        service.stop()
    assert any("the log's fold is" in each for each in found), found
