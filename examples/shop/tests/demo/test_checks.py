"""The audit must catch what it is there for: every check is shown to fail on a story with the matching flaw."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import pytest

from examples.shop.demo.answers import Answers
from examples.shop.demo.checks import (
    Checks,
    LogAudit,
    check_flash_sale,
    check_log,
    check_read_models,
    check_replay,
)
from examples.shop.demo.refold import Refold
from examples.shop.demo.retail import COLUMNS, History, Invoice, gather
from examples.shop.demo.traffic import FLASH_BUYERS, FLASH_UNITS, Done, Outcomes, Problem
from examples.shop.orders import CreditNoteIssued, OrderPlaced
from examples.shop.products import Sold
from twofold import Event

ROWS = [
    "1,mug,MUG,6,2010-12-01 08:26:00,2.55,ann,EIRE",
    "1,bag,BAG ,1,2010-12-01 08:26:00,1.65,ann,EIRE",
    "2,mug,,-3,2010-12-01 08:26:00,0.0,,France",
    "C3,mug,MUG,-1,2010-12-01 08:26:00,2.55,ann,EIRE",
]


@dataclass
class Story:
    """What the checks see, untouched: a flash sale and a tiny history that went well."""

    history: History
    sale: Outcomes
    replay: Outcomes
    log: list[dict[str, object]]
    answers: Answers

    def judge(self) -> Checks:
        audit = LogAudit()
        audit.read(msgspec.json.encode(logged) for logged in self.log)
        checks = Checks()
        check_flash_sale(checks, self.sale, audit)
        check_replay(checks, self.replay, self.history, audit)
        check_log(checks, [self.sale, self.replay], audit)
        check_read_models(checks, self.answers, self.history, audit.refold)
        return checks


def event_of(invoice: Invoice) -> Event:
    at, country, lines, customer = invoice.at, invoice.country, invoice.lines, invoice.customer_id
    if invoice.is_credit_note:
        return CreditNoteIssued(
            credit_note_id=invoice.number, issued_at=at, country=country, lines=lines, customer_id=customer
        )
    return OrderPlaced(order_id=invoice.number, placed_at=at, country=country, lines=lines, customer_id=customer)


@pytest.fixture
def story() -> Story:
    history = gather("test", enumerate(dict(zip(COLUMNS, row.split(","), strict=True)) for row in ROWS))
    sale, replay, log = Outcomes(), Outcomes(), list[dict[str, object]]()

    def append(outcomes: Outcomes, command_id: str, stream: str, version: int, event: Event) -> None:
        kind = type(event).__name__
        position = len(log) + 1
        log.append({"position": position, "stream": stream, "version": version, "type": kind, "data": event})
        outcomes.done[command_id] = Done(stream, version, position, [kind])

    for number in range(1, FLASH_UNITS + 1):
        buyer = f"buyer-{number:04}"
        sold = Sold(sku="FLASH", customer_id=buyer, price=Decimal("9.99"))
        append(sale, f"buy-now-{buyer}", "product-FLASH", number, sold)
    for number in range(FLASH_UNITS + 1, FLASH_BUYERS + 1):
        sale.refused[f"buy-now-buyer-{number:04}"] = Problem("sold-out")
    for invoice in history.invoices.values():
        append(replay, f"invoice-{invoice.number}", f"document-{invoice.number}", 1, event_of(invoice))
    return Story(history, sale, replay, log, answers_to(log))


def answers_to(log: list[dict[str, object]]) -> Answers:
    audit = LogAudit()
    audit.read(msgspec.json.encode(logged) for logged in log)
    fold: Refold = audit.refold
    return Answers(fold.orders, fold.sales, fold.countries, fold.customers, fold.products, [])


def test_a_story_without_flaw_passes_every_check(story: Story) -> None:
    assert story.judge().failures == {}


def sell_one_too_many(story: Story) -> None:
    story.sale.done["buy-now-late"] = Done("product-FLASH", 1, 1, ["Sold"])


def refuse_for_another_reason(story: Story) -> None:
    story.sale.refused["buy-now-buyer-5000"] = Problem("internal-error")


def log_a_sale_twice(story: Story) -> None:
    story.log.append(story.log[0] | {"position": len(story.log) + 1, "version": FLASH_UNITS + 1})


def refuse_an_invoice(story: Story) -> None:
    story.replay.refused["invoice-1"] = Problem("already-exists")


def leave_an_invoice_unanswered(story: Story) -> None:
    story.replay.unanswered.append("invoice-1")


def lose_the_last_event(story: Story) -> None:
    story.log.pop()


def leave_a_gap_in_positions(story: Story) -> None:
    story.log[-1]["position"] = len(story.log) + 1


def leave_a_gap_in_versions(story: Story) -> None:
    story.log[-1]["version"] = 2


def count_a_penny_too_much(story: Story) -> None:
    story.answers.countries["EIRE"].revenue += Decimal("0.01")


def lose_an_order(story: Story) -> None:
    del story.answers.orders["1"]


def change_a_line(story: Story) -> None:
    story.answers.orders["1"].lines.pop()


def count_a_unit_twice(story: Story) -> None:
    story.answers.sales["mug"].units += 1


def forget_an_order(story: Story) -> None:
    story.answers.customers["ann"].orders -= 1


def misname_a_product(story: Story) -> None:
    story.answers.products["mug"].name = ""


FLAWS: list[tuple[Callable[[Story], None], set[str]]] = [
    (sell_one_too_many, {"flash_sale_sold_exactly_its_units", "each_sale_in_the_log_once"}),
    (refuse_for_another_reason, {"flash_sale_refused_all_others"}),
    (log_a_sale_twice, {"each_sale_in_the_log_once", "nothing_else_in_the_log"}),
    (refuse_an_invoice, {"every_invoice_accepted"}),
    (leave_an_invoice_unanswered, {"every_invoice_accepted"}),
    (lose_the_last_event, {"each_invoice_in_the_log_once", "every_acknowledged_command_in_the_log"}),
    (leave_a_gap_in_positions, {"positions_dense"}),
    (leave_a_gap_in_versions, {"versions_dense", "every_acknowledged_command_in_the_log"}),
    (
        count_a_penny_too_much,
        {"revenue_by_country_is_the_sum_of_the_file", "revenue_by_country_is_a_fold_of_the_log"},
    ),
    (lose_an_order, {"order_details_is_a_fold_of_the_log"}),
    (change_a_line, {"order_details_is_a_fold_of_the_log"}),
    (count_a_unit_twice, {"sales_per_product_is_a_fold_of_the_log"}),
    (forget_an_order, {"customer_history_is_a_fold_of_the_log"}),
    (misname_a_product, {"product_search_is_a_fold_of_the_log"}),
]


@pytest.mark.parametrize(("flaw", "caught_by"), FLAWS, ids=[flaw.__name__ for flaw, _ in FLAWS])
def test_a_flaw_is_caught(story: Story, flaw: Callable[[Story], None], caught_by: set[str]) -> None:
    flaw(story)
    assert caught_by <= set(story.judge().failures)
