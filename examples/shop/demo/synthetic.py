"""A made-up month of a shop, seeded: the same rows every time, in the form and with the dirt of the real file.

Its proportions are those of the UCI "Online Retail" file: invoices of a few lines with a long tail, nine in ten from
the United Kingdom, every seventh a cancellation, lines without customer, without price and without description.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random

from examples.shop.demo.retail import COLUMNS, History, gather

SEED = 20101201
INVOICE_COUNT = 2_500
PRODUCT_COUNT = 600
CUSTOMER_COUNT = 700
FIRST_MOMENT = datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001 (the file's times carry no zone)
OPEN_S = 10 * 3600
TRADING_DAYS = 30

MATERIALS = ("WHITE", "RED", "VINTAGE", "RETRO", "GLASS", "WOODEN", "CREAM", "PINK", "ENAMEL", "CERAMIC", "JUMBO")
MOTIFS = ("HEART", "SPOTTY", "UNION JACK", "SKULL", "DAISY", "PAISLEY", "STAR", "REGENCY", "DOILY", "STRAWBERRY")
THINGS = (
    "T-LIGHT HOLDER",
    "LUNCH BAG",
    "CAKESTAND",
    "LANTERN",
    "MUG",
    "BUNTING",
    "HOT WATER BOTTLE",
    "DOORMAT",
    "CLOCK",
)
PRICES = ("1.25", "1.65", "0.85", "2.95", "0.42", "4.95", "3.75", "2.1", "2.46", "4.13", "2.55", "8.5", "12.75")
PACKS = (1, 1, 1, 2, 2, 3, 4, 6, 6, 8, 10, 12, 12, 24, 48)
COUNTRIES = ("United Kingdom",) * 90 + ("Germany", "France", "EIRE", "EIRE", "Spain", "Netherlands", "Belgium", "Japan")
STOCK_REMARKS = ("", "", "damages", "check", "?", "wet/rusty")
DEBT = "11062.06"

FileRow = dict[str, str]


@dataclass(frozen=True)
class Product:
    code: str
    name: str
    price: str


@dataclass(frozen=True)
class Customer:
    customer_id: str
    country: str


def synthetic_month(seed: int = SEED, invoice_count: int = INVOICE_COUNT) -> History:
    return gather("a synthetic month", enumerate(Month(seed, invoice_count).rows(), start=2))


class Month:
    """Draws everything from one `Random`, so a seed decides the whole month."""

    def __init__(self, seed: int, invoice_count: int) -> None:
        self.random = Random(seed)
        self.invoice_count = invoice_count
        self.products = [self.product(number) for number in range(PRODUCT_COUNT)]
        self.popularity = list(accumulate(1 / (rank + 8) for rank in range(PRODUCT_COUNT)))
        self.customers = [self.customer(number) for number in range(CUSTOMER_COUNT)]
        self.sold: list[FileRow] = []

    def product(self, number: int) -> Product:
        code = f"{20_000 + number * 7}{self.random.choice(('', '', '', '', 'A', 'B', 'b'))}"
        words = (self.random.choice(MATERIALS), self.random.choice(MOTIFS), self.random.choice(THINGS))
        return Product(code, " ".join(words) + self.random.choice(("", "", "", " ")), self.random.choice(PRICES))

    def customer(self, number: int) -> Customer:
        return Customer(f"{12_346 + number * 3}", self.random.choice(COUNTRIES))

    def rows(self) -> Iterator[FileRow]:
        for number in range(self.invoice_count):
            at = self.moment(number)
            draw = self.random.random()
            if number in (self.invoice_count // 3, self.invoice_count // 2):
                yield self.bad_debt(f"A{536_365 + number}", at, sign="" if number < self.invoice_count // 2 else "-")
            elif draw < 0.15 and self.sold:
                yield from self.cancellation(f"C{536_365 + number}", at)
            elif draw < 0.20:
                yield self.write_off(str(536_365 + number), at)
            else:
                yield from self.sale(str(536_365 + number), at)

    def moment(self, number: int) -> datetime:
        day, share = divmod(number * TRADING_DAYS / self.invoice_count, 1)
        return FIRST_MOMENT + timedelta(days=day, seconds=int(share * OPEN_S))

    def sale(self, number: str, at: datetime) -> Iterator[FileRow]:
        known = self.random.random() < 0.88
        customer = self.random.choice(self.customers) if known else Customer("", "United Kingdom")
        size = min(300, 1 + int(self.random.lognormvariate(2.3, 1.1)))
        for product in self.random.choices(self.products, cum_weights=self.popularity, k=size):
            line = self.line(number, at, customer, product, self.random.choice(PACKS))
            if known and len(self.sold) < 5_000:
                self.sold.append(line)
            yield line
        if customer.country != "United Kingdom":
            yield self.line(number, at, customer, Product("POST", "POSTAGE", "18.0"), 1)

    def line(self, number: str, at: datetime, customer: Customer, product: Product, quantity: int) -> FileRow:
        dirt = self.random.random()
        price = "0.0" if dirt < 0.004 else "0.001" if dirt > 0.9995 else product.price
        name = "" if dirt < 0.002 else product.name
        return row(number, product.code, name, quantity, at, price, customer.customer_id, customer.country)

    def cancellation(self, number: str, at: datetime) -> Iterator[FileRow]:
        """Some lines of one customer come back; now and then a discount that was never a sale."""
        returned = self.random.choice(self.sold)
        customer = Customer(returned["CustomerID"], returned["Country"])
        if self.random.random() < 0.03:
            yield self.line(number, at, customer, Product("D", "Discount", "27.5"), -1)
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 6))):
            quantity = -self.random.randint(1, int(returned["Quantity"]))
            product = Product(returned["StockCode"], returned["Description"], returned["UnitPrice"])
            yield self.line(number, at, customer, product, quantity)

    def write_off(self, number: str, at: datetime) -> FileRow:
        code = self.random.choice(self.products).code
        remark = self.random.choice(STOCK_REMARKS)
        return row(number, code, remark, -self.random.randint(1, 200), at, "0.0", "", "United Kingdom")

    def bad_debt(self, number: str, at: datetime, *, sign: str) -> FileRow:
        return row(number, "B", "Adjust bad debt", 1, at, sign + DEBT, "", "United Kingdom")


def row(
    number: str, code: str, name: str, quantity: int, at: datetime, price: str, customer_id: str, country: str
) -> FileRow:
    values = (number, code, name, str(quantity), at.isoformat(sep=" "), price, customer_id, country)
    return dict(zip(COLUMNS, values, strict=True))
