"""A command sent many times at once, to services that are being killed, takes effect once and has one answer."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.system.faults.ledger import Ledger, Outcome
from tests.system.faults.process import dying
from tests.system.services.cluster import Cluster
from tests.system.services.evidence import wrongs
from tests.system.services.sizes import size
from twofold.testing.load import LoadClient, NoAnswerError, Response

HERE = Path(__file__).parent
ACCOUNTS, TIMES, IN_FLIGHT = 50, 3, 40
LONGEST_S = 600


class Sender:
    """Sends commands to any of the services, again and again until each is answered."""

    def __init__(self, clients: list[LoadClient], ledger: Ledger) -> None:
        self._clients, self._ledger, self._random = clients, ledger, random.Random(6)

    async def send_times(self, times: int, command_id: str, command: str, **fields: Any) -> None:
        """As many copies at once; every one of them is answered in the end, and the ledger compares the answers."""
        self._ledger.sent(command_id)
        body = msgspec.json.encode(fields)
        answers = await asyncio.gather(*(self._until_answered(command_id, command, body) for _ in range(times)))
        for answer in answers:
            assert answer.status == 200, (command_id, answer)
            self._ledger.ok(command_id, msgspec.json.decode(answer.body))

    async def _until_answered(self, command_id: str, command: str, body: bytes) -> Response:
        while True:
            client = self._random.choice(self._clients)
            try:
                headers = {"Idempotency-Key": command_id}
                answer = await client.request("POST", f"/commands/{command}", body=body, headers=headers)
                if answer.status != 503:
                    return answer
            except NoAnswerError:
                pass
            await asyncio.sleep(self._random.uniform(0.01, 0.05))


async def sent_three_times_each(cluster: Cluster, commands: int, entry: Path | None = None) -> Ledger:
    ledger, slots = Ledger(), asyncio.Semaphore(IN_FLIGHT)
    services = [cluster.service("command", entry=entry) for _ in range(2)]
    await asyncio.to_thread(cluster.start_all, [*services, cluster.service("projector")])
    async with AsyncExitStack() as stack:
        made = [LoadClient("127.0.0.1", port, connections=TIMES * IN_FLIGHT) for port in cluster.ports("command")]
        sender = Sender([await stack.enter_async_context(each) for each in made], ledger)
        for number in range(ACCOUNTS):
            await sender.send_times(1, f"open-{number}", "OpenAccount", account_id=f"a{number}", owner="ann")

        async def deposit(number: int) -> None:
            async with slots:
                account = f"a{number % ACCOUNTS}"
                await sender.send_times(TIMES, f"deposit-{number}", "Deposit", account_id=account, amount="0.01")

        async with dying(services, seed=7), asyncio.timeout(LONGEST_S):
            await asyncio.gather(*(deposit(number) for number in range(commands)))
    return ledger


@pytest.mark.timeout(LONGEST_S + 60)
async def test_commands_sent_three_times_at_once_while_services_die_take_effect_once(cluster: Cluster) -> None:
    commands = size(2_000, 10_000)
    ledger = await sent_three_times_each(cluster, commands)
    assert ledger.count(Outcome.OK) == ACCOUNTS + commands
    assert wrongs(cluster, ledger) == []
    kills = sum(service.kills for service in cluster.of("command"))
    print(f"{commands} commands sent {TIMES} times each, {kills} kills: {commands} effects, equal answers")


@pytest.mark.timeout(LONGEST_S + 60)
async def test_the_audit_catches_services_that_forget_command_ids(cluster: Cluster) -> None:
    ledger = await sent_three_times_each(cluster, 100, HERE / "planted_forgetful.py")
    found = wrongs(cluster, ledger)
    assert any("times in the log" in each for each in found), found[:5]
    assert any("and then" in each for each in found), found[:5]
