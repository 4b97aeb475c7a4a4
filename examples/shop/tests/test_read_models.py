from datetime import UTC, datetime
from decimal import Decimal

from examples.shop.orders import CreditNoteIssued, Line, OrderPlaced
from examples.shop.products import ProductAdded, Sold
from examples.shop.read_models import CustomerHistory, OrderDetails, ProductSearch, RevenueByCountry, SalesPerProduct
from twofold.testing import given_events

MAY = datetime(2011, 5, 2, 12, tzinfo=UTC)
JUNE = datetime(2011, 6, 2, 12, tzinfo=UTC)
MUGS = Line("mug", "ENAMEL MUG", 6, Decimal("2.55"))
ONE_MUG = Line("mug", "", 1, Decimal("2.95"))
BAG = Line("bag", "LUNCH BAG", 1, Decimal("1.65"))
MUGS_BACK = Line("mug", "ENAMEL MUG", -2, Decimal("2.55"))

ORDER = OrderPlaced(order_id="1", placed_at=JUNE, country="EIRE", lines=[MUGS, BAG, ONE_MUG], customer_id="ann")
EARLIER_ORDER = OrderPlaced(order_id="2", placed_at=MAY, country="EIRE", lines=[BAG], customer_id="ann")
NOBODYS_ORDER = OrderPlaced(order_id="3", placed_at=MAY, country="France", lines=[BAG])
WRITE_OFF = OrderPlaced(
    order_id="4", placed_at=JUNE, country="EIRE", lines=[Line("mug", "wet/rusty", -9, Decimal("0.0"))]
)
CREDIT = CreditNoteIssued(credit_note_id="C1", issued_at=JUNE, country="EIRE", lines=[MUGS_BACK], customer_id="ann")
FLASH = Sold(sku="mug", customer_id="ann", price=Decimal("9.99"))


def test_order_details_show_lines_and_total() -> None:
    given_events(ORDER).then_row(
        OrderDetails,
        "1",
        customer_id="ann",
        placed_at=JUNE,
        country="EIRE",
        lines=[MUGS, BAG, ONE_MUG],
        total=Decimal("19.90"),
    )


def test_a_product_on_several_lines_of_an_order_is_counted_once_per_line() -> None:
    given_events(ORDER).then_row(SalesPerProduct, "mug", units=7, revenue=Decimal("18.25"))


def test_sales_per_product_count_flash_buys_and_what_came_back() -> None:
    given_events(ORDER, FLASH, CREDIT).then_row(SalesPerProduct, "mug", units=6, revenue=Decimal("23.14"))


def test_revenue_by_country_counts_documents_and_no_flash_buys() -> None:
    story = given_events(ORDER, EARLIER_ORDER, NOBODYS_ORDER, CREDIT, FLASH)
    story.then_row(RevenueByCountry, "EIRE", orders=2, credit_notes=1, revenue=Decimal("16.45"))
    story.then_row(RevenueByCountry, "France", orders=1, credit_notes=0, revenue=Decimal("1.65"))


def test_a_customers_history_has_the_latest_order_whatever_the_order_of_entry() -> None:
    given_events(ORDER, EARLIER_ORDER, CREDIT, FLASH).then_row(
        CustomerHistory,
        "ann",
        orders=2,
        credit_notes=1,
        flash_buys=1,
        spent=Decimal("26.44"),
        last_order_at=JUNE,
    )


def test_a_product_goes_by_the_last_description_under_which_it_was_sold() -> None:
    catalogue = ProductAdded(sku="mug", name="MUG", price=Decimal(1), stock=0)
    given_events(catalogue).then_row(ProductSearch, "mug", name="MUG")
    given_events(catalogue, ORDER).then_row(ProductSearch, "mug", name="ENAMEL MUG")
    given_events(catalogue, ORDER, WRITE_OFF).then_row(ProductSearch, "mug", name="ENAMEL MUG")
