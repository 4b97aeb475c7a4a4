"""Clients that never stop: they deposit, note what became of each command, and repeat half of what they don't know."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec

from tests.system.faults.ledger import Ledger
from twofold.testing.load import LoadClient, NeverSentError, NoAnswerError, Response

ACCOUNTS = 40
CONNECTIONS = 16
PAUSE_WHILE_DOWN_S = 0.01


class Workload:
    """Deposits from many connections until told to stop, each command to any of the ports, by a seeded generator.

    `pause_s` is how long each connection rests between commands: 0 for as much load as there can be. `longest_s` is
    what the slowest command took, also one without an answer; `unavailable` has every 503.
    """

    def __init__(
        self, ports: Sequence[int], ledger: Ledger, seed: int, *, pause_s: float = 0.0, timeout_s: float = 5.0
    ) -> None:
        self._clients = [LoadClient("127.0.0.1", port, connections=CONNECTIONS, timeout_s=timeout_s) for port in ports]
        self._ledger, self._random, self._pause_s = ledger, random.Random(seed), pause_s
        self._count, self.longest_s = 0, 0.0
        self.unavailable: list[Response] = []
        self._doubtful: list[tuple[str, str, bytes]] = []
        self.going = True

    async def open_accounts(self) -> None:
        async with self._open():
            for number in range(ACCOUNTS):
                body = {"account_id": f"a{number}", "owner": "crash"}
                await self._send(f"open-{number}", "OpenAccount", msgspec.json.encode(body))

    async def run(self) -> None:
        """Send until `going` is taken away; repeat what is in doubt once in a while, and a last time at the end."""
        async with self._open():
            await asyncio.gather(*(self._work() for _ in range(CONNECTIONS)))

    async def settle_doubts(self) -> None:
        """Repeat, to a service that is up, what was kept for repeating."""
        async with self._open():
            while self._doubtful:
                await self._send(*self._doubtful.pop())

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for client in self._clients:
                await stack.enter_async_context(client)
            yield

    async def _work(self) -> None:
        while self.going:
            await asyncio.sleep(self._pause_s)
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
        started = time.monotonic()
        headers = {"Idempotency-Key": command_id, "Content-Type": "application/json"}
        try:
            client = self._random.choice(self._clients)
            try:
                response = await client.request("POST", f"/commands/{command}", body=body, headers=headers)
            finally:
                self.longest_s = max(self.longest_s, time.monotonic() - started)
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
        elif response.status in (404, 409):  # refused; an account that is lost shows in the audit
            self._ledger.failed(command_id)
        elif response.status == 503:
            self.unavailable.append(response)
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


@asynccontextmanager
async def load_on(
    ports: Sequence[int], ledger: Ledger, *, seed: int, pause_s: float = 0.0, timeout_s: float = 5.0
) -> AsyncGenerator[Workload]:
    """Load while the block runs; afterwards what is in doubt is settled with services that must be up."""
    workload = Workload(ports, ledger, seed, pause_s=pause_s, timeout_s=timeout_s)
    await workload.open_accounts()
    load = asyncio.create_task(workload.run())
    try:
        yield workload
        assert not load.done(), load
        workload.going = False
        await load
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    await workload.settle_doubts()
