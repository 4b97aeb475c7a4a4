"""A connection lost while the event log commits: the command's outcome is found out, and never guessed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Lost, Proxy, proxy_to
from tests.system.faults.ledger import Ledger, Outcome
from tests.system.faults.process import ServiceProcess
from tests.system.services.cluster import Cluster
from tests.system.services.evidence import wrongs
from tests.system.services.sizes import size
from twofold.testing.load import LoadClient

APPEND = b"twofold_log.append"
LOSSES = {Lost.REPLY: size(30, 100), Lost.REQUEST: size(10, 100), Lost.LATE: size(10, 100)}


@asynccontextmanager
async def through(proxy: Proxy, cluster: Cluster) -> AsyncGenerator[tuple[LoadClient, ServiceProcess]]:
    proxy.cut(APPEND, 0, Lost.REPLY)
    service = cluster.service("command", port=proxy.port)
    cluster.start_all([service, cluster.service("projector")])
    async with LoadClient("127.0.0.1", service.port, connections=8) as client:
        yield client, service


async def send(client: LoadClient, ledger: Ledger, number: int, **fields: str) -> None:
    """A deposit, or the opening of an account when it is number 0."""
    command_id, command = f"command-{number}", "Deposit" if number else "OpenAccount"
    ledger.sent(command_id)
    headers = {"Idempotency-Key": command_id}
    body = msgspec.json.encode({"account_id": "a1", **fields})
    answer = await client.request("POST", f"/commands/{command}", body=body, headers=headers)
    assert answer.status == 200, answer
    ledger.ok(command_id, msgspec.json.decode(answer.body))


@pytest.mark.parametrize("lost", LOSSES)
@pytest.mark.timeout(300)
async def test_a_command_whose_connection_is_cut_at_its_commit_is_resolved(
    cluster: Cluster, postgres18: PostgresServer, lost: Lost
) -> None:
    ledger, times = Ledger(), LOSSES[lost]
    with proxy_to(postgres18.port) as proxy:
        async with through(proxy, cluster) as (client, _):
            await send(client, ledger, 0, owner="ann")
            for number in range(1, times + 1):
                proxy.cut(APPEND, 1, lost)
                await send(client, ledger, number, amount="1")
                assert proxy.cuts == number, "the cut did not happen"
    assert ledger.count(Outcome.OK) == times + 1
    assert wrongs(cluster, ledger) == []
    print(f"{times} of {times} commands resolved whose {lost.value} was lost")
