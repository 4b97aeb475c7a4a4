"""Clients that never stop: they deposit, note what became of each command, and repeat half of what they don't know."""

import asyncio
import random
from decimal import Decimal
from typing import Any

import msgspec

from tests.system.crash.ledger import Ledger
from twofold.testing.load import LoadClient, NeverSentError, NoAnswerError

ACCOUNTS = 40
CONNECTIONS = 16
PAUSE_WHILE_DOWN_S = 0.01


class Workload:
    """Deposits from many connections until told to stop. Amounts are chosen by a seeded generator."""

    def __init__(self, port: int, ledger: Ledger, seed: int) -> None:
        self._client = LoadClient("127.0.0.1", port, connections=CONNECTIONS, timeout_s=5)
        self._ledger, self._random = ledger, random.Random(seed)
        self._count = 0
        self._doubtful: list[tuple[str, str, bytes]] = []
        self.going = True

    async def open_accounts(self) -> None:
        async with self._client:
            for number in range(ACCOUNTS):
                body = {"account_id": f"a{number}", "owner": "crash"}
                await self._send(f"open-{number}", "OpenAccount", msgspec.json.encode(body))

    async def run(self) -> None:
        """Send until `going` is taken away; repeat what is in doubt once in a while, and a last time at the end."""
        async with self._client:
            await asyncio.gather(*(self._work() for _ in range(CONNECTIONS)))

    async def settle_doubts(self) -> None:
        """Repeat, to a service that is up, what was kept for repeating."""
        async with self._client:
            while self._doubtful:
                await self._send(*self._doubtful.pop())

    async def _work(self) -> None:
        while self.going:
            if self._doubtful and self._random.random() < 0.5:
                await self._send(*self._doubtful.pop())
                continue
            self._count += 1
            await self._send(f"deposit-{self._count}", "Deposit", self._deposit())

    def _deposit(self) -> bytes:
        """One in twenty is of nothing, which the domain refuses."""
        pence = self._random.randrange(1, 10_000) if self._random.random() > 0.05 else 0
        account = f"a{self._random.randrange(ACCOUNTS)}"
        return msgspec.json.encode({"account_id": account, "amount": Decimal(pence) / 100})

    async def _send(self, command_id: str, command: str, body: bytes) -> None:
        self._ledger.sent(command_id)
        headers = {"Idempotency-Key": command_id, "Content-Type": "application/json"}
        try:
            response = await self._client.request("POST", f"/commands/{command}", body=body, headers=headers)
        except NeverSentError:
            self._ledger.never_sent(command_id)
            self._perhaps_again(command_id, command, body)
            await asyncio.sleep(PAUSE_WHILE_DOWN_S)
            return
        except NoAnswerError:
            self._in_doubt(command_id, command, body)
            return
        if response.status == 200:
            self._ledger.ok(command_id, self._answer(response.body))
        elif response.status == 409:
            self._ledger.failed(command_id)
        elif response.status == 503:
            self._in_doubt(command_id, command, body)
        else:
            raise AssertionError(f"{command_id}: {response.status} {response.body!r}")

    def _in_doubt(self, command_id: str, command: str, body: bytes) -> None:
        self._ledger.unknown(command_id)
        self._perhaps_again(command_id, command, body)

    def _perhaps_again(self, command_id: str, command: str, body: bytes) -> None:
        if self._random.random() < 0.5:
            self._doubtful.append((command_id, command, body))

    def _answer(self, body: bytes) -> dict[str, Any]:
        return msgspec.json.decode(body)
