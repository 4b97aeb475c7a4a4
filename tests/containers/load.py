"""Customers of the shop at its gateway: they buy, order and look, and note what became of each wish."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.containers.dockerd import HOST
from tests.system.faults.ledger import Ledger
from twofold.testing.load import LoadClient, NeverSentError, NoAnswerError, Response

__all__ = ["Call", "Calls", "Customers", "flood", "served", "shopping"]

PRODUCTS = 20
STOCK = 1_000_000
CUSTOMERS = 200
WORKERS = 16
TIMEOUT_S = 20.0
MOST_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Call:
    """What became of one: its status, or 0 for no answer at all; when it began (monotonic) and how long it took."""

    kind: str
    status: int
    began_at: float
    seconds: float
    response: Response | None


@dataclass
class Calls:
    """Those of a stretch of time, of one kind or both."""

    all: Sequence[Call]

    def of(self, kind: str) -> Calls:
        return Calls([each for each in self.all if each.kind == kind])

    def between(self, start: float, end: float) -> Calls:
        return Calls([each for each in self.all if start <= each.began_at and each.began_at + each.seconds <= end])

    @property
    def failures(self) -> list[Call]:
        return [each for each in self.all if each.status != 200]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(each.status for each in self.all)

    def percentile(self, share: float) -> float:
        """Seconds within which this share of those that were answered 200 came."""
        ordered = sorted(each.seconds for each in self.all if each.status == 200)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")

    def __len__(self) -> int:
        return len(self.all)


@dataclass
class Customers:
    """`commands_share` of what they do are commands. The ledger has every command, `calls` every call."""

    client: LoadClient
    ledger: Ledger
    seed: int
    commands_share: float = 0.5
    calls: list[Call] = field(default_factory=list[Call])
    going: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.numbers = itertools.count(1)

    async def stock_up(self) -> None:
        """The products, until each is there: the first commands of a system that has just come up."""
        for number in range(PRODUCTS):
            fields = {"sku": f"p{number}", "name": f"Product {number}", "price": f"{number}.95", "stock": STOCK}
            command_id = f"add-{number}"
            for _ in range(100):
                if (await self.command("AddProduct", fields, command_id)).status in (200, 409):
                    break
                await asyncio.sleep(0.2)

    async def work(self, pause_s: float) -> None:
        while self.going:
            await self.one_call()
            await asyncio.sleep(pause_s)

    async def one_call(self) -> Call:
        if self.random.random() < self.commands_share:
            return await self.command(*self._wish())
        return await self.query()

    async def command(self, name: str, fields: Any, command_id: str) -> Call:
        self.ledger.sent(command_id)
        headers = {"Idempotency-Key": command_id}
        call = await self._call("command", "POST", f"/commands/{name}", msgspec.json.encode(fields), headers)
        if call.response is None:
            (self.ledger.never_sent if call.status < 0 else self.ledger.unknown)(command_id)
        elif call.status == 200:
            self.ledger.ok(command_id, msgspec.json.decode(call.response.body))
        elif call.status == 503:
            self.ledger.unknown(command_id)
        else:
            self.ledger.failed(command_id)
        return call

    async def query(self) -> Call:
        sku = f"p{self.random.randrange(PRODUCTS)}"
        customer = f"c{self.random.randrange(CUSTOMERS)}"
        paths = (f"SalesOfProduct?sku={sku}", f"CustomerById?customer_id={customer}", "BestSellers?limit=5")
        return await self._call("query", "GET", f"/queries/{self.random.choice(paths)}", None, {})

    def _wish(self) -> tuple[str, Any, str]:
        number = next(self.numbers)
        sku, customer = f"p{self.random.randrange(PRODUCTS)}", f"c{self.random.randrange(CUSTOMERS)}"
        if self.random.random() < 0.7:
            return "BuyNow", {"sku": sku, "customer_id": customer}, f"{self.name}buy-{number}"
        line = {"sku": sku, "description": f"Product {sku}", "quantity": 2, "unit_price": "9.95"}
        order_id = f"{self.name}order-{number}"
        placed = "2026-01-01T12:00:00Z"
        fields = {"order_id": order_id, "placed_at": placed, "country": "NL", "lines": [line], "customer_id": customer}
        return "PlaceOrder", fields, order_id

    async def _call(self, kind: str, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Call:
        began_at = time.monotonic()
        response: Response | None = None
        try:
            response = await self.client.request(method, path, body=body, headers=headers)
            status = response.status
        except NeverSentError:
            status = -1
        except NoAnswerError:
            status = 0
        call = Call(kind, status, began_at, time.monotonic() - began_at, response)
        self.calls.append(call)
        return call


@asynccontextmanager
async def shopping(
    port: int,
    ledger: Ledger,
    *,
    seed: int,
    pause_s: float = 0.02,
    workers: int = WORKERS,
    commands_share: float = 0.5,
    host: str = HOST,
) -> AsyncGenerator[Customers]:
    """Customers at the gateway while the block runs; all their calls are answered, or given up, when it ends."""
    async with LoadClient(host, port, connections=workers, timeout_s=TIMEOUT_S) as client:
        customers = Customers(client, ledger, seed, commands_share, name=f"{seed}-")
        await customers.stock_up()
        customers.calls.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(customers.work(pause_s))
            try:
                yield customers
            finally:
                customers.going = False


async def served(customers: Customers, *kinds: str, timeout_s: float) -> float:
    """Seconds until a call of each kind was answered 200 that had begun after now."""
    start = time.monotonic()
    now = Calls([])
    while time.monotonic() - start < timeout_s:
        now = Calls(customers.calls).between(start, time.monotonic())
        if all(any(each.status == 200 for each in now.of(kind).all) for kind in kinds):
            return time.monotonic() - start
        await asyncio.sleep(0.05)
    raise AssertionError(f"{kinds} are not served within {timeout_s} seconds: {now.statuses}")


async def flood(
    port: int, ledger: Ledger, *, seed: int, rate_per_s: float, seconds: float, commands_share: float
) -> Calls:
    """So many calls a second, whether those before are answered or not: clients that don't wait for each other."""
    async with LoadClient(HOST, port, connections=MOST_AT_ONCE, timeout_s=TIMEOUT_S) as client:
        customers = Customers(client, ledger, seed, commands_share, name=f"{seed}-")
        await customers.stock_up()
        customers.calls.clear()
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate_per_s * seconds)):
                if (early := started + number / rate_per_s - time.monotonic()) > 0:
                    await asyncio.sleep(early)
                group.create_task(customers.one_call())
    return Calls(customers.calls)
