from decimal import Decimal

import pytest

from examples.shop.products import AddProduct, BuyNow, Product, ProductAdded, Restock, Restocked, Sold
from twofold.testing import given

PRICE = Decimal("9.99")
SOLD = Sold(sku="mug", customer_id="ann", price=PRICE)
BUY = BuyNow(sku="mug", customer_id="ann")


def added(stock: int) -> ProductAdded:
    return ProductAdded(sku="mug", name="ENAMEL MUG", price=PRICE, stock=stock)


def test_a_product_is_added_with_its_first_stock() -> None:
    given(Product).when(AddProduct(sku="mug", name="ENAMEL MUG", price=PRICE, stock=2)).then(added(stock=2))


def test_a_product_is_added_once() -> None:
    given(Product, added(stock=2)).when(AddProduct(sku="mug", name="MUG", price=PRICE)).then_rejected("already-exists")


@pytest.mark.parametrize("price", ["-0.01", "0.00001", "1000000.01", "NaN", "Infinity"])
def test_what_is_no_price_is_refused(price: str) -> None:
    given(Product).when(AddProduct(sku="mug", name="MUG", price=Decimal(price))).then_rejected("not-a-price")


def test_a_buyer_gets_a_unit_at_the_products_price() -> None:
    given(Product, added(stock=1)).when(BUY).then(SOLD)


def test_the_buyer_after_the_last_unit_is_refused() -> None:
    given(Product, added(stock=2), SOLD, SOLD).when(BUY).then_rejected("sold-out")


def test_restocking_ends_a_sell_out() -> None:
    given(Product, added(stock=0)).when(Restock(sku="mug", units=5)).then(Restocked(sku="mug", units=5))
    given(Product, added(stock=0), Restocked(sku="mug", units=5)).when(BUY).then(SOLD)


def test_nobody_buys_a_product_that_was_never_added() -> None:
    given(Product).when(BUY).then_rejected("not-found")
