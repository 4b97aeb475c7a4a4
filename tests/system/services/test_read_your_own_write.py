"""What a client has written it reads, from any query service, also while projectors die."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from tests.system.faults.ledger import Ledger
from tests.system.faults.process import dying
from tests.system.services.calls import Caller, calling
from tests.system.services.cluster import Cluster
from tests.system.services.evidence import wrongs
from tests.system.services.sizes import size
from twofold.testing.load import Response

HERE = Path(__file__).parent
CLIENTS, EACH = 8, size(30, 500)


async def consistent(caller: Caller, account: str, **headers: str) -> Response:
    """Ask until the answer is not "not yet", which says when to ask again; at most 20 s."""
    async with asyncio.timeout(20):
        while True:
            answer = await caller.ask("PositionsOf", account, **headers)
            if answer.status != 503:
                return answer
            assert msgspec.json.decode(answer.body)["code"] == "not-yet-consistent", answer
            assert "retry-after" in answer.headers


async def stale_reads(caller: Caller, *, by_cookie: bool) -> list[str]:
    """Write and read by turns, as many clients, each with an account of its own; what a client read too early."""
    await caller.open(*(f"own-{client}" for client in range(CLIENTS)))

    async def one(account: str) -> list[str]:
        stale: list[str] = []
        for _ in range(EACH):
            written = await caller.send("Deposit", account_id=account, amount="1")
            position = msgspec.json.decode(written.body)["position"]
            headers = {"Twofold_After": str(position)}
            if by_cookie:
                headers = {"Cookie": written.headers["set-cookie"].partition(";")[0]}
            answer = await consistent(caller, account, Prefer="wait=2", **headers)
            assert answer.status == 200, answer
            if position not in msgspec.json.decode(answer.body):
                stale.append(f"{account}: {position} is missing in an answer of {answer.headers['twofold-position']}")
        return stale

    found = await asyncio.gather(*(one(f"own-{client}") for client in range(CLIENTS)))
    return [each for stale in found for each in stale]


@pytest.mark.parametrize("by_cookie", [False, True], ids=["by header", "by cookie"])
@pytest.mark.timeout(300)
async def test_a_client_reads_its_own_writes_while_projectors_die(cluster: Cluster, by_cookie: bool) -> None:
    ledger = Ledger()
    await asyncio.to_thread(cluster.start, command=1, query=2, projector=3)
    async with calling(cluster, ledger) as caller, dying(cluster.of("projector"), seed=16):
        assert await stale_reads(caller, by_cookie=by_cookie) == []
    assert wrongs(cluster, ledger) == []
    print(f"{CLIENTS * EACH} writes read at once; {sum(each.kills for each in cluster.services)} projectors killed")


async def test_a_wanted_position_that_does_not_come_is_said_in_time(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.start, command=1, query=1, projector=1)
    async with calling(cluster, Ledger()) as caller:
        await caller.open("a1")
        cluster.of("projector")[0].kill()
        position = await caller.deposit("a1")
        started = time.monotonic()
        answer = await caller.ask("PositionsOf", "a1", Twofold_After=str(position), Prefer="wait=1")
    assert (answer.status, msgspec.json.decode(answer.body)["code"]) == (503, "not-yet-consistent")
    assert 0.9 <= time.monotonic() - started <= 2


@pytest.mark.timeout(300)
async def test_a_query_service_that_does_not_wait_is_caught(cluster: Cluster) -> None:
    planted = cluster.service("query", entry=HERE / "planted_hasty.py")
    await asyncio.to_thread(cluster.start_all, [planted, cluster.service("command"), cluster.service("projector")])
    async with calling(cluster, Ledger()) as caller:
        assert await stale_reads(caller, by_cookie=False) != []
