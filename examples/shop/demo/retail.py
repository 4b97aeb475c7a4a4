"""A shop's history from lines in the form of the UCI "Online Retail" file: one line per product of an invoice.

Chen, D. (2015), Online Retail, UCI Machine Learning Repository, https://doi.org/10.24432/C5BW33. An invoice number
that starts with C is a cancellation. The lines of an invoice need not stand together.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TextIO

import msgspec

from examples.shop.money import is_price
from examples.shop.orders import Country, DocumentId, IssueCreditNote, Line, PlaceOrder
from examples.shop.products import Sku

GZIP_MAGIC = b"\x1f\x8b"
BROKEN_FILE = (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error)


class BrokenHistoryError(Exception):
    """The history can't be replayed as it stands: the text says which line and why."""


class Row(msgspec.Struct, frozen=True, rename="pascal"):
    """One line of the file. Customer and description may be empty; the times carry no zone and are taken as UTC."""

    invoice_no: DocumentId
    stock_code: Sku
    description: Annotated[str, msgspec.Meta(max_length=200)]
    quantity: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
    invoice_date: datetime
    unit_price: Decimal
    customer_id: Annotated[str, msgspec.Meta(max_length=50)] = msgspec.field(name="CustomerID")
    country: Country

    def __post_init__(self) -> None:
        if not is_price(self.unit_price):
            raise ValueError(f"{self.unit_price} is not a price")

    @property
    def line(self) -> Line:
        return Line(self.stock_code, self.description, self.quantity, self.unit_price)


COLUMNS = tuple(info.encode_name for info in msgspec.structs.fields(Row))


@dataclass(slots=True)
class Invoice:
    number: str
    at: datetime
    customer_id: str | None
    country: str
    lines: list[Line] = field(default_factory=list)

    @property
    def is_credit_note(self) -> bool:
        return self.number.startswith("C")

    def command(self) -> PlaceOrder | IssueCreditNote:
        if self.is_credit_note:
            return IssueCreditNote(
                credit_note_id=self.number,
                issued_at=self.at,
                country=self.country,
                lines=self.lines,
                customer_id=self.customer_id,
            )
        return PlaceOrder(
            order_id=self.number,
            placed_at=self.at,
            country=self.country,
            lines=self.lines,
            customer_id=self.customer_id,
        )


@dataclass(slots=True)
class History:
    """Invoices in the order of their first lines, and the straight sum of Quantity x UnitPrice over all lines."""

    name: str
    invoices: dict[str, Invoice] = field(default_factory=dict)
    line_count: int = 0
    revenue_by_country: dict[str, Decimal] = field(default_factory=dict)

    @property
    def credit_note_count(self) -> int:
        return sum(invoice.is_credit_note for invoice in self.invoices.values())

    @property
    def order_count(self) -> int:
        return len(self.invoices) - self.credit_note_count

    def add(self, row: Row) -> None:
        """Raises ValueError when the line contradicts its invoice."""
        customer_id = row.customer_id or None
        invoice = self.invoices.get(row.invoice_no)
        if invoice is None:
            at = row.invoice_date.replace(tzinfo=row.invoice_date.tzinfo or UTC)
            invoice = self.invoices[row.invoice_no] = Invoice(row.invoice_no, at, customer_id, row.country)
        elif (invoice.customer_id, invoice.country) != (customer_id, row.country):
            raise ValueError(
                f"invoice {invoice.number} was for customer {invoice.customer_id} in {invoice.country} "
                f"and is now for customer {customer_id} in {row.country}"
            )
        invoice.lines.append(row.line)
        self.line_count += 1
        so_far = self.revenue_by_country.get(row.country, Decimal(0))
        self.revenue_by_country[row.country] = so_far + row.quantity * row.unit_price


def gather(name: str, rows: Iterable[tuple[int, Mapping[str, str]]]) -> History:
    """Numbered rows to invoices. Raises `BrokenHistoryError` with the number of the row that can't be taken."""
    history = History(name)
    for number, row in rows:
        try:
            history.add(msgspec.convert(row, Row, strict=False))
        except ValueError as error:
            raise BrokenHistoryError(f"{name}, line {number}: {error}; the line has {dict(row)}") from error
    if not history.invoices:
        raise BrokenHistoryError(f"{name} has no lines below its header: there is nothing to replay")
    return history


def read_csv(path: Path) -> History:
    """The history in a file, plain or gzip. Raises `BrokenHistoryError` with a sentence for whoever named the file."""
    try:
        return gather(str(path), numbered_rows(path, io.StringIO(text_of(path), newline="")))
    except FileNotFoundError as error:
        raise BrokenHistoryError(f"{path} does not exist") from error
    except BROKEN_FILE as error:
        raise BrokenHistoryError(f"{path} can't be read as CSV in UTF-8, plain or gzip: {error}") from error


def text_of(path: Path) -> str:
    """Gzip is told by its first bytes, not by the file's name."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data).decode("utf-8-sig")


def numbered_rows(path: Path, file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(file, strict=True)
    header = next(reader, [])
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise BrokenHistoryError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(header) or 'none'}")
    for values in filter(None, reader):
        if len(values) != len(header):
            raise BrokenHistoryError(
                f"{path}, line {reader.line_num}: {len(values)} values for {len(header)} columns: {values}"
            )
        yield reader.line_num, dict(zip(header, values, strict=True))
