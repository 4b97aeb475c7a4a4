"""The audit: what was sent, what the log has, and what the queries answer must be one story."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from examples.shop.demo.answers import Answers
from examples.shop.demo.refold import LoggedEvent, Refold
from examples.shop.demo.retail import History
from examples.shop.demo.traffic import FLASH_BUYERS, FLASH_UNITS, Done, Outcomes
from examples.shop.orders import CreditNoteIssued, OrderPlaced
from examples.shop.products import Sold
from twofold import ReadModel


class Checks:
    """Named checks and, for each that failed, a sentence with what was wanted and what was found."""

    def __init__(self) -> None:
        self.passed: dict[str, bool] = {}
        self.failures: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        return not self.failures

    def add(self, name: str, passed: bool, failure: str) -> None:
        self.passed[name] = passed
        if not passed:
            self.failures[name] = failure

    def equal(self, name: str, wanted: object, found: object) -> None:
        self.add(name, wanted == found, f"wanted {wanted}, found {found}")

    def same_items(self, name: str, wanted: Mapping[str, object], found: Mapping[str, object]) -> None:
        """The failure shows the first key that differs: both sides may have thousands."""
        differing = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
        sample = [f"{key!r}: wanted {wanted.get(key)}, found {found.get(key)}" for key in differing[:1]]
        self.add(name, not differing, f"{len(differing)} of {len(wanted)} differ; {'; '.join(sample)}")


class LogAudit:
    """Reads the log once, in order, and keeps what the checks need of it."""

    def __init__(self) -> None:
        self.refold = Refold()
        self.positions_are_dense = True
        self.versions_are_dense = True
        self.places: list[tuple[str, int, str]] = []
        self.versions: dict[str, int] = {}
        self.buyers: Counter[str] = Counter()
        self.documents: Counter[str] = Counter()

    @property
    def length(self) -> int:
        return len(self.places)

    def read(self, lines: Iterable[bytes]) -> None:
        decode = msgspec.json.Decoder(LoggedEvent).decode
        for line in lines:
            self.add(decode(line))

    def add(self, logged: LoggedEvent) -> None:
        self.places.append((logged.stream, logged.version, logged.type))
        self.positions_are_dense &= logged.position == self.length
        self.versions_are_dense &= logged.version == self.versions.get(logged.stream, 0) + 1
        self.versions[logged.stream] = logged.version
        match self.refold.add(logged):
            case Sold(customer_id=customer_id):
                self.buyers[customer_id] += 1
            case OrderPlaced(order_id=number) | CreditNoteIssued(credit_note_id=number):
                self.documents[number] += 1
            case _:
                pass

    def has(self, done: Done) -> bool:
        """Whether the log has the last event of an acknowledged command where its answer said."""
        place = (done.stream, done.version, done.events[-1])
        return 0 < done.position <= self.length and self.places[done.position - 1] == place


def check_flash_sale(checks: Checks, sale: Outcomes, audit: LogAudit) -> None:
    refusals = Counter(problem.code for problem in sale.refused.values())
    checks.equal("flash_sale_sold_exactly_its_units", FLASH_UNITS, len(sale.done))
    checks.equal("flash_sale_refused_all_others", {"sold-out": FLASH_BUYERS - FLASH_UNITS}, dict(refusals))
    acknowledged = {command_id.removeprefix("buy-now-"): 1 for command_id in sale.done}
    checks.same_items("each_sale_in_the_log_once", acknowledged, audit.buyers)


def check_replay(checks: Checks, replay: Outcomes, history: History, audit: LogAudit) -> None:
    refused = [f"{command_id}: {problem.detail or problem.code}" for command_id, problem in replay.refused.items()]
    problems = [*refused, *(f"{command_id}: no answer" for command_id in replay.unanswered)]
    checks.add("every_invoice_accepted", not problems, f"{len(problems)} were not; the first: {problems[:1]}")
    checks.same_items("each_invoice_in_the_log_once", dict.fromkeys(history.invoices, 1), audit.documents)


def check_log(checks: Checks, runs: Sequence[Outcomes], audit: LogAudit) -> None:
    checks.add("positions_dense", audit.positions_are_dense, f"positions are not 1 to {audit.length} in order")
    checks.add("versions_dense", audit.versions_are_dense, "a stream's versions are not 1, 2, 3 … in order")
    acknowledged = {command_id: done for run in runs for command_id, done in run.done.items()}
    lost = [command_id for command_id, done in acknowledged.items() if not audit.has(done)]
    checks.add("every_acknowledged_command_in_the_log", not lost, f"{len(lost)} are not; the first: {lost[:1]}")
    checks.equal("nothing_else_in_the_log", sum(len(done.events) for done in acknowledged.values()), audit.length)


def check_read_models(checks: Checks, answers: Answers, history: History, refold: Refold) -> None:
    revenue = {country: row.revenue for country, row in answers.countries.items()}
    checks.same_items("revenue_by_country_is_the_sum_of_the_file", history.revenue_by_country, revenue)
    pairs: list[tuple[str, Mapping[str, ReadModel], Mapping[str, ReadModel]]] = [
        ("order_details", refold.orders, answers.orders),
        ("sales_per_product", refold.sales, answers.sales),
        ("revenue_by_country", refold.countries, answers.countries),
        ("customer_history", refold.customers, answers.customers),
        ("product_search", refold.products, answers.products),
    ]
    for name, folded, answered in pairs:
        checks.same_items(f"{name}_is_a_fold_of_the_log", folded, answered)
