from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from examples.shop.orders import (
    CreditNote,
    CreditNoteIssued,
    IssueCreditNote,
    Line,
    Order,
    OrderPlaced,
    PlaceOrder,
    total,
)
from twofold.testing import given

NOON = datetime(2011, 5, 2, 12, tzinfo=UTC)
MUGS = Line("mug", "ENAMEL MUG", 6, Decimal("2.55"))
DIRTY = {
    "a gift": Line("mug", "ENAMEL MUG", 1, Decimal("0.0")),
    "stock written off": Line("mug", "damages", -38, Decimal("0.0")),
    "a debt written off": Line("B", "Adjust bad debt", 1, Decimal("-11062.06")),
    "a line without description": Line("mug", "", 1, Decimal("2.55")),
}


def place(*lines: Line, customer_id: str | None = "ann") -> PlaceOrder:
    return PlaceOrder(order_id="1", placed_at=NOON, country="EIRE", lines=list(lines), customer_id=customer_id)


def placed(*lines: Line, customer_id: str | None = "ann") -> OrderPlaced:
    return OrderPlaced(order_id="1", placed_at=NOON, country="EIRE", lines=list(lines), customer_id=customer_id)


def credit(*lines: Line) -> IssueCreditNote:
    return IssueCreditNote(credit_note_id="C1", issued_at=NOON, country="EIRE", lines=list(lines), customer_id="ann")


def test_an_order_is_placed_with_all_its_lines() -> None:
    given(Order).when(place(MUGS, MUGS)).then(placed(MUGS, MUGS))


def test_an_order_is_placed_once() -> None:
    given(Order, placed(MUGS)).when(place(MUGS)).then_rejected("already-exists")


@pytest.mark.parametrize("line", DIRTY.values(), ids=DIRTY)
def test_an_order_books_what_sells_nothing(line: Line) -> None:
    given(Order).when(place(MUGS, line)).then(placed(MUGS, line))


def test_an_order_needs_no_customer() -> None:
    given(Order).when(place(MUGS, customer_id=None)).then(placed(MUGS, customer_id=None))


@pytest.mark.parametrize("price", ["NaN", "-Infinity", "1E+30", "0.00001"])
def test_a_price_that_sums_could_not_keep_exact_is_refused(price: str) -> None:
    line = Line("mug", "ENAMEL MUG", 1, Decimal(price))
    given(Order).when(place(MUGS, line)).then_rejected("not-a-price")
    given(CreditNote).when(credit(line)).then_rejected("not-a-price")


def test_a_credit_note_gives_money_back() -> None:
    back = Line("mug", "ENAMEL MUG", -2, Decimal("2.55"))
    given(CreditNote).when(credit(back)).then(
        CreditNoteIssued(credit_note_id="C1", issued_at=NOON, country="EIRE", lines=[back], customer_id="ann")
    )


def test_a_credit_note_that_would_charge_is_refused() -> None:
    given(CreditNote).when(credit(MUGS)).then_rejected("credit-note-charges")


def test_a_total_is_exact() -> None:
    assert total([Line("a", "", 3, Decimal("0.1")), Line("b", "", -1, Decimal("0.001"))]) == Decimal("0.299")


def test_a_time_without_zone_is_refused_since_it_could_not_be_compared_with_others() -> None:
    text = msgspec.json.encode(place(MUGS))
    assert msgspec.json.decode(text, type=PlaceOrder) == place(MUGS)
    with pytest.raises(msgspec.ValidationError, match="placed_at"):
        msgspec.json.decode(text.replace(b"12:00:00Z", b"12:00:00"), type=PlaceOrder)
