"""Orders and credit notes: whole documents, booked with all their lines.

The lines are as a real shop books them. Not all of them sell something: a price of 0 is a gift, a negative quantity
is stock written off, a negative price a debt written off. So an amount may have either sign, and every total is a
plain sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from examples.shop.money import is_price
from examples.shop.products import CustomerId, Sku
from twofold import Aggregate, Command, Event, Meta, Rejected, handle

DocumentId = Annotated[str, Meta(min_length=1, max_length=50)]
Country = Annotated[str, Meta(min_length=1, max_length=100)]
Moment = Annotated[datetime, Meta(tz=True, description="a time with its zone: times without one can't be compared")]


@dataclass(frozen=True, slots=True)
class Line:
    sku: Sku
    description: Annotated[str, Meta(max_length=200)]
    quantity: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
    unit_price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price

    @property
    def sells(self) -> bool:
        return self.quantity > 0 and self.unit_price > 0


Lines = Annotated[list[Line], Meta(min_length=1, max_length=2_000)]


def total(lines: Sequence[Line]) -> Decimal:
    return sum((line.amount for line in lines), Decimal(0))


def refuse_impossible_prices(lines: Sequence[Line]) -> None:
    for number, line in enumerate(lines, start=1):
        if not is_price(line.unit_price):
            raise Rejected(f"line {number} ({line.sku}): {line.unit_price} is not a price", code="not-a-price")


class PlaceOrder(Command):
    """`customer_id` is null when somebody bought without an account."""

    order_id: DocumentId
    placed_at: Moment
    country: Country
    lines: Lines
    customer_id: CustomerId | None = None


class OrderPlaced(Event):
    order_id: str
    placed_at: datetime
    country: str
    lines: list[Line]
    customer_id: str | None = None


class Order(Aggregate, key="order_id"):
    @handle(creates=True)
    def place(self, command: PlaceOrder) -> OrderPlaced:
        refuse_impossible_prices(command.lines)
        return OrderPlaced(
            order_id=command.order_id,
            placed_at=command.placed_at,
            country=command.country,
            lines=command.lines,
            customer_id=command.customer_id,
        )


class IssueCreditNote(Command):
    """Money back: its lines carry negative quantities."""

    credit_note_id: DocumentId
    issued_at: Moment
    country: Country
    lines: Lines
    customer_id: CustomerId | None = None


class CreditNoteIssued(Event):
    credit_note_id: str
    issued_at: datetime
    country: str
    lines: list[Line]
    customer_id: str | None = None


class CreditNote(Aggregate, key="credit_note_id"):
    @handle(creates=True)
    def issue(self, command: IssueCreditNote) -> CreditNoteIssued:
        refuse_impossible_prices(command.lines)
        if total(command.lines) > 0:
            raise Rejected(f"credit note {command.credit_note_id} would charge", code="credit-note-charges")
        return CreditNoteIssued(
            credit_note_id=command.credit_note_id,
            issued_at=command.issued_at,
            country=command.country,
            lines=command.lines,
            customer_id=command.customer_id,
        )
