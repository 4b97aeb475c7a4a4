"""What is in the log and what the gateway answers, held against what customers know: everything that is wrong."""

import asyncio
import collections
import json
import time
from typing import Any, Protocol

from examples.shop.demo.answers import AskFailedError, ask_everything
from examples.shop.demo.checks import Checks, LogAudit
from tests.system.faults.ledger import Ledger, Outcome
from twofold.testing.load import LoadClient

__all__ = ["Running", "wrongs"]

ALLOWED = {Outcome.OK: (1,), Outcome.FAILED: (0,), Outcome.UNKNOWN: (0, 1), Outcome.SENT: (0, 1)}


class Running(Protocol):
    """A shop whose gateway listens on `port` of `host`."""

    host: str
    port: int

    def events(self) -> list[dict[str, Any]]: ...


async def wrongs(stack: Running, ledger: Ledger, *, settle_s: float = 60.0) -> list[str]:
    """Empty when nothing is lost, doubled or out of order, and every row is a fold of the log."""
    events = await asyncio.to_thread(stack.events)
    audit = LogAudit()
    audit.read(json.dumps(event).encode() for event in events)
    checks = Checks()
    checks.add("positions", audit.positions_are_dense, f"positions are not 1 to {audit.length} in order")
    checks.add("versions", audit.versions_are_dense, "a stream's versions are not 1, 2, 3 … in order")
    found = collections.Counter(event["metadata"]["command_id"] for event in events)
    for command_id, entry in ledger.entries.items():
        right = found[command_id] in ALLOWED[entry.outcome]
        checks.add(command_id, right, f"is {entry.outcome.value} and is {found[command_id]} times in the log")
    strangers = [command_id for command_id in found if command_id not in ledger.entries]
    checks.equal("commands that nobody sent", [], strangers[:3])
    await _check_rows(stack, checks, audit, settle_s)
    return [*ledger.contradictions, *(f"{name}: {failure}" for name, failure in checks.failures.items())]


async def _check_rows(stack: Running, checks: Checks, audit: LogAudit, settle_s: float) -> None:
    """As the queries answer them, none older than the log's end."""
    deadline = time.monotonic() + settle_s
    async with LoadClient(stack.host, stack.port, connections=1, timeout_s=30) as client:
        while True:
            try:
                answers = await ask_everything(client, audit.length)
                break
            except AskFailedError as error:
                if time.monotonic() > deadline:
                    checks.add("rows", False, f"not to be had within {settle_s} seconds: {error}")
                    return
                await asyncio.sleep(0.2)
    refold = audit.refold
    checks.same_items("orders", refold.orders, answers.orders)
    checks.same_items("sales", refold.sales, answers.sales)
    checks.same_items("countries", refold.countries, answers.countries)
    checks.same_items("customers", refold.customers, answers.customers)
    checks.same_items("products", refold.products, answers.products)
