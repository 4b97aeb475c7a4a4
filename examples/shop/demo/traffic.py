"""What the demo sends: a flash sale, then a shop's history; every command with its Idempotency-Key.

A command that meets an overloaded server or a lost connection is sent again under the same key, so it takes effect
once whatever happened to the first try.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from examples.shop.demo.retail import Invoice
from examples.shop.products import AddProduct, BuyNow
from twofold import Command
from twofold.testing.load import LoadClient, NoAnswerError, Response, Summary, drive

IN_FLIGHT = 64
ATTEMPTS = 20
PAUSE_S = 0.25
KEY_HEADER = b"Idempotency-Key: "

FLASH_SKU = "FLASH-SALE"
FLASH_PRICE = Decimal("9.99")
FLASH_UNITS = 1_000
FLASH_BUYERS = 5_000


class Done(msgspec.Struct, frozen=True):
    """A command's answer: where its events stand."""

    stream: str
    version: int
    position: int
    events: list[str]


class Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""


@dataclass(slots=True)
class Outcomes:
    """What became of a run of commands, by their ids."""

    done: dict[str, Done] = field(default_factory=dict)
    refused: dict[str, Problem] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.done) + len(self.refused) + len(self.unanswered)

    def note(self, wire: bytes, outcome: Response | NoAnswerError) -> None:
        command_id = command_id_of(wire)
        if isinstance(outcome, NoAnswerError):
            self.unanswered.append(command_id)
        elif outcome.status == 200:
            self.done[command_id] = msgspec.json.decode(outcome.body, type=Done)
        else:
            self.refused[command_id] = problem_of(outcome)


def problem_of(response: Response) -> Problem:
    try:
        return msgspec.json.decode(response.body, type=Problem)
    except msgspec.DecodeError:
        return Problem(f"http-{response.status}", response.body[:200].decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Phase:
    """One run of commands: its outcomes and what they cost."""

    outcomes: Outcomes
    summary: Summary


class PatientClient(LoadClient):
    """Sends again what got no answer or 503, unchanged, a bounded number of times."""

    async def send(self, wire: bytes) -> Response:
        for _ in range(ATTEMPTS - 1):
            try:
                response = await super().send(wire)
            except NoAnswerError:
                await asyncio.sleep(PAUSE_S)
                continue
            if response.status != 503:
                return response
            await asyncio.sleep(PAUSE_S)
        return await super().send(wire)


def command_wire(client: LoadClient, command_id: str, command: Command) -> bytes:
    return client.prepare(
        "POST",
        f"/commands/{type(command).__name__}",
        body=msgspec.json.encode(command),
        headers={"Idempotency-Key": command_id},
    )


def command_id_of(wire: bytes) -> str:
    return wire.partition(KEY_HEADER)[2].partition(b"\r\n")[0].decode()


def stand_still() -> None:
    """The progress of a run that nobody watches."""


async def run_phase(client: LoadClient, wires: Iterable[bytes], advance: Callable[[], None] = stand_still) -> Phase:
    """Send all of them, 64 at a time. `advance` is called after each answer."""
    outcomes = Outcomes()

    def note(wire: bytes, outcome: Response | NoAnswerError) -> None:
        outcomes.note(wire, outcome)
        advance()

    return Phase(outcomes, await drive(client, wires, IN_FLIGHT, on_answer=note))


def opening(client: LoadClient) -> Iterator[bytes]:
    """The product of the flash sale, before anybody may buy it."""
    product = AddProduct(sku=FLASH_SKU, name="CAKESTAND OF THE DAY", price=FLASH_PRICE, stock=FLASH_UNITS)
    yield command_wire(client, "add-flash-product", product)


def flash_sale(client: LoadClient) -> Iterator[bytes]:
    for number in range(1, FLASH_BUYERS + 1):
        buyer = f"buyer-{number:04}"
        yield command_wire(client, f"buy-now-{buyer}", BuyNow(sku=FLASH_SKU, customer_id=buyer))


def replay(client: LoadClient, invoices: Iterable[Invoice]) -> Iterator[bytes]:
    for invoice in invoices:
        yield command_wire(client, f"invoice-{invoice.number}", invoice.command())
