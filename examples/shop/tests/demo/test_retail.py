import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from examples.shop.demo.retail import COLUMNS, BrokenHistoryError, read_csv
from examples.shop.orders import IssueCreditNote, Line, PlaceOrder

HEADER = ",".join(COLUMNS)
DIRTY = f"""{HEADER}
536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527,United Kingdom
536365,71053,"LANTERN, WHITE ",6,2010-12-01 08:26:00,3.39,17850,United Kingdom
536589,21777,,-10,2010-12-01 16:50:00,0.0,,United Kingdom
A563186,B,Adjust bad debt,1,2011-08-12 14:51:00,-11062.06,,United Kingdom
536540,C2,CARRIAGE,1,2010-12-01 14:05:00,50.001,14911,EIRE
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "history.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_every_invoice_becomes_one_command_with_all_its_lines(write: Write) -> None:
    history = read_csv(write(DIRTY))
    assert history.invoices["536365"].command() == PlaceOrder(
        order_id="536365",
        placed_at=datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        customer_id="17850",
        country="United Kingdom",
        lines=[
            Line("85123A", "WHITE HEART", 6, Decimal("2.55")),
            Line("71053", "LANTERN, WHITE ", 6, Decimal("3.39")),
        ],
    )
    assert isinstance(history.invoices["C536379"].command(), IssueCreditNote)


def test_dirty_lines_are_taken_as_they_are(write: Write) -> None:
    history = read_csv(write(DIRTY))
    assert history.invoices["536589"].customer_id is None
    assert history.invoices["536589"].lines == [Line("21777", "", -10, Decimal("0.0"))]
    assert history.invoices["A563186"].lines[0].amount == Decimal("-11062.06")


def test_figures_are_straight_sums_over_the_lines(write: Write) -> None:
    history = read_csv(write(DIRTY))
    assert (history.order_count, history.credit_note_count, history.line_count) == (4, 1, 6)
    assert history.revenue_by_country == {
        "United Kingdom": 6 * Decimal("2.55") - Decimal("27.5") + 6 * Decimal("3.39") - Decimal("11062.06"),
        "EIRE": Decimal("50.001"),
    }


def test_a_compressed_file_is_told_by_its_content(tmp_path: Path, write: Write) -> None:
    compressed = tmp_path / "history.dat"
    compressed.write_bytes(gzip.compress(DIRTY.encode()))
    assert read_csv(compressed).invoices == read_csv(write(DIRTY)).invoices


def test_a_byte_order_mark_other_columns_and_empty_lines_are_no_matter(write: Write) -> None:
    history = read_csv(write(f"\ufeff{HEADER},Shop\n\n1,mug,MUG,1,2010-12-01 08:26:00,2.55,,EIRE,north\n\n"))
    assert history.line_count == 1


BROKEN = {
    "lacks the columns CustomerID, Country": "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice\n",
    "it has none": "",
    "there is nothing to replay": f"{HEADER}\n",
    "line 2: 3 values for 8 columns": f"{HEADER}\n1,2,3\n",
    r"line 2: Expected `int`, got `str` - at `\$.Quantity`": f"{HEADER}\n1,mug,,many,2010-12-01 08:26:00,1,,EIRE\n",
    r"at `\$.UnitPrice`": f"{HEADER}\n1,mug,,1,2010-12-01 08:26:00,cheap,,EIRE\n",
    "NaN is not a price": f"{HEADER}\n1,mug,,1,2010-12-01 08:26:00,NaN,,EIRE\n",
    r"at `\$.InvoiceDate`": f"{HEADER}\n1,mug,,1,1 December,1,,EIRE\n",
    r"at `\$.InvoiceNo`": f"{HEADER}\n,mug,,1,2010-12-01 08:26:00,1,,EIRE\n",
    "line 3: invoice 1 was for customer None in EIRE and is now for customer None in France": (
        f"{HEADER}\n1,mug,,1,2010-12-01 08:26:00,1,,EIRE\n1,mug,,1,2010-12-01 08:26:00,1,,France\n"
    ),
    "can't be read as CSV": f'{HEADER}\n1,"mug',
}


@pytest.mark.parametrize(("complaint", "text"), BROKEN.items(), ids=BROKEN)
def test_a_broken_file_is_refused_with_a_sentence(write: Write, complaint: str, text: str) -> None:
    with pytest.raises(BrokenHistoryError, match=complaint):
        read_csv(write(text))


def test_a_file_that_is_missing_or_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenHistoryError, match="does not exist"):
        read_csv(tmp_path / "nowhere.csv")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(DIRTY.encode())[:-20])
    with pytest.raises(BrokenHistoryError, match="can't be read as CSV in UTF-8, plain or gzip"):
        read_csv(cut)
