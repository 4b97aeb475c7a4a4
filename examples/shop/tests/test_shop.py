from datetime import UTC, datetime
from decimal import Decimal

import pytest

from examples.shop import app
from examples.shop.orders import IssueCreditNote, Line, PlaceOrder
from examples.shop.products import AddProduct, BuyNow, Sku
from examples.shop.queries import (
    BestSellers,
    Countries,
    CustomerById,
    OrderById,
    Orders,
    OrdersOfCustomer,
    Products,
    SalesOfProduct,
    SearchProducts,
)
from twofold import Rejected
from twofold.testing import running

NOON = datetime(2011, 5, 2, 12, tzinfo=UTC)


def order(order_id: str, customer_id: str | None, country: str, *lines: Line) -> PlaceOrder:
    return PlaceOrder(order_id=order_id, placed_at=NOON, customer_id=customer_id, country=country, lines=list(lines))


def line(sku: Sku, quantity: int, price: str) -> Line:
    return Line(sku, sku.upper(), quantity, Decimal(price))


def test_the_shop_has_no_gaps() -> None:
    assert not app.check()


async def test_a_flash_sale_sells_what_there_is_and_no_more() -> None:
    async with running(app) as system:
        await system.send(AddProduct(sku="mug", name="ENAMEL MUG", price=Decimal("9.99"), stock=2))
        for buyer in ("ann", "bob"):
            await system.send(BuyNow(sku="mug", customer_id=buyer))
        with pytest.raises(Rejected) as refusal:
            await system.send(BuyNow(sku="mug", customer_id="cy"))
        assert refusal.value.code == "sold-out"
        await system.settle()
        sales = await system.ask(SalesOfProduct(sku="mug"))
        assert sales is not None
        assert (sales.units, sales.revenue) == (2, Decimal("19.98"))


async def test_what_is_ordered_and_given_back_is_answered() -> None:
    async with running(app) as system:
        await system.send(order("1", "ann", "EIRE", line("red mug", 6, "2.55"), line("lunch bag", 1, "1.65")))
        await system.send(order("2", None, "France", line("lunch bag", 10, "1.65")))
        await system.send(order("3", "ann", "EIRE", line("lunch bag", 2, "1.65")))
        back = IssueCreditNote(
            credit_note_id="C4", issued_at=NOON, customer_id="ann", country="EIRE", lines=[line("red mug", -1, "2.55")]
        )
        await system.send(back)
        await system.settle()

        found = await system.ask(OrderById(order_id="2"))
        assert found is not None
        assert found.total == Decimal("16.50")
        assert await system.ask(OrderById(order_id="C4")) is None
        assert [row.order_id for row in await system.ask(OrdersOfCustomer(customer_id="ann"))] == ["1", "3"]
        customer = await system.ask(CustomerById(customer_id="ann"))
        assert customer is not None
        assert (customer.orders, customer.credit_notes, customer.spent) == (2, 1, Decimal("17.70"))
        best = await system.ask(BestSellers(limit=1))
        assert [(row.sku, row.units, row.revenue) for row in best] == [("lunch bag", 13, Decimal("21.45"))]
        revenue = {row.country: row.revenue for row in await system.ask(Countries())}
        assert revenue == {"EIRE": Decimal("17.70"), "France": Decimal("16.50")}
        assert [row.sku for row in await system.ask(SearchProducts(text="mug"))] == ["red mug"]
        assert [row.sku for row in await system.ask(Products())] == ["lunch bag", "red mug"]


async def test_lists_come_in_pages() -> None:
    async with running(app) as system:
        for number in range(5):
            await system.send(order(f"order {number}", "ann", "EIRE", line("mug", 1, "2.55")))
        await system.settle()
        pages: list[list[str]] = []
        start_after: str | None = None
        for _ in range(3):
            page = [row.order_id for row in await system.ask(Orders(start_after=start_after, limit=2))]
            pages.append(page)
            start_after = page[-1]
        assert pages == [["order 0", "order 1"], ["order 2", "order 3"], ["order 4"]]
