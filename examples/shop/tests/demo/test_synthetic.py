from examples.shop.demo.synthetic import INVOICE_COUNT, synthetic_month

MONTH = synthetic_month()


def test_the_same_seed_makes_the_same_month() -> None:
    assert synthetic_month(seed=7, invoice_count=50) == synthetic_month(seed=7, invoice_count=50)
    assert synthetic_month(seed=7, invoice_count=50) != synthetic_month(seed=8, invoice_count=50)


def test_a_month_has_the_proportions_of_the_real_file() -> None:
    assert len(MONTH.invoices) == INVOICE_COUNT
    assert 0.12 < MONTH.credit_note_count / INVOICE_COUNT < 0.19
    assert 12 < MONTH.line_count / INVOICE_COUNT < 25
    assert MONTH.revenue_by_country["United Kingdom"] > sum(MONTH.revenue_by_country.values()) / 2


def test_a_month_has_every_kind_of_dirt() -> None:
    orders = [invoice for invoice in MONTH.invoices.values() if not invoice.is_credit_note]
    lines = [line for invoice in orders for line in invoice.lines]
    assert any(invoice.customer_id is None for invoice in orders)
    assert any(not line.description for line in lines)
    assert any(line.description != line.description.strip() for line in lines)
    assert any(line.unit_price == 0 < line.quantity for line in lines)
    assert any(line.quantity < 0 for line in lines)
    assert [
        line.unit_price.is_signed() for invoice in orders if invoice.number[0] == "A" for line in invoice.lines
    ] == [
        False,
        True,
    ]


def test_what_comes_back_is_booked_with_negative_quantities() -> None:
    credit_notes = [invoice for invoice in MONTH.invoices.values() if invoice.is_credit_note]
    assert all(line.quantity < 0 for invoice in credit_notes for line in invoice.lines)
    assert all(invoice.customer_id for invoice in credit_notes)
