"""Calls to services of each role by one client, as a user of the whole makes them."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.system.faults.ledger import Ledger
from tests.system.services.cluster import Cluster
from twofold.testing.load import LoadClient, Response

__all__ = ["Caller", "calling"]


@dataclass(slots=True)
class Caller:
    """Commands go to any command service and queries to any query service. The ledger knows every command."""

    commands: Sequence[LoadClient]
    queries: Sequence[LoadClient]
    ledger: Ledger
    random: random.Random = field(default_factory=lambda: random.Random(12))
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def open(self, *accounts: str) -> None:
        for account in accounts:
            assert (await self.send("OpenAccount", account_id=account, owner="ann")).status == 200

    async def send(self, command: str, **fields: Any) -> Response:
        """Any answer; the ledger has it as ok, failed or, with 503, unknown."""
        command_id = f"call-{next(self.numbers)}"
        self.ledger.sent(command_id)
        headers = {"Idempotency-Key": command_id}
        client = self.random.choice(self.commands)
        answer = await client.request("POST", f"/commands/{command}", body=msgspec.json.encode(fields), headers=headers)
        match answer.status:
            case 200:
                self.ledger.ok(command_id, msgspec.json.decode(answer.body))
            case 503:
                self.ledger.unknown(command_id)
            case _:
                self.ledger.failed(command_id)
        return answer

    async def deposit(self, account: str) -> int:
        """The position of a deposit, which must be taken."""
        answer = await self.send("Deposit", account_id=account, amount="1")
        assert answer.status == 200, answer
        return int(answer.headers["twofold-position"])

    async def ask(self, query: str, account: str, **headers: str) -> Response:
        client = self.random.choice(self.queries)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.request("GET", f"/queries/{query}?account_id={account}", headers=named)

    async def visible(self, account: str) -> float:
        """Seconds from the acknowledgement of a deposit until a query service has it."""
        position = await self.deposit(account)
        started = time.perf_counter()
        answer = await self.ask("LastPositionOf", account, Twofold_After=str(position), Prefer="wait=10")
        assert answer.status == 200, answer
        assert msgspec.json.decode(answer.body) >= position, answer
        return time.perf_counter() - started


@asynccontextmanager
async def calling(cluster: Cluster, ledger: Ledger, *, timeout_s: float = 15.0) -> AsyncGenerator[Caller]:
    async with AsyncExitStack() as stack:
        clients = {
            role: [
                await stack.enter_async_context(LoadClient("127.0.0.1", port, timeout_s=timeout_s))
                for port in cluster.ports(role)
            ]
            for role in ("command", "query")
        }
        yield Caller(clients["command"], clients["query"], ledger)
