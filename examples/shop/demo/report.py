"""What the demo says: to people as text, to programs as JSON."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from examples.shop.demo.answers import Answers
from examples.shop.demo.checks import Checks
from examples.shop.demo.retail import History
from examples.shop.demo.traffic import Phase

COUNTRIES_SHOWN = 10


class PhaseFigures(msgspec.Struct, frozen=True):
    commands: int
    done: int
    refused: int
    seconds: float
    commands_per_s: float
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, frozen=True):
    """The figures of `--result`; `commands_per_s`, `p50_ms` and `p99_ms` are those of the replay."""

    history: str
    orders: int
    credit_notes: int
    lines: int
    revenue_by_country: dict[str, Decimal]
    commands_per_s: float
    p50_ms: float
    p99_ms: float
    flash_sale: PhaseFigures
    replay: PhaseFigures
    checks: dict[str, bool]
    failures: dict[str, str]

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")


def figures(phase: Phase) -> PhaseFigures:
    outcomes, summary = phase.outcomes, phase.summary
    return PhaseFigures(
        commands=outcomes.count,
        done=len(outcomes.done),
        refused=len(outcomes.refused),
        seconds=round(summary.seconds, 3),
        commands_per_s=round(summary.rate_per_s, 1),
        p50_ms=round(summary.p50_ms, 3),
        p99_ms=round(summary.p99_ms, 3),
    )


class Rate(ProgressColumn):
    """Steps per second, as far as it is known."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s", style="progress.data.speed")


@contextmanager
def progress(console: Console, title: str, total: int) -> Iterator[Callable[[], None]]:
    """The title, and below it a bar where there is a terminal. The yielded call moves the bar by one."""
    console.print(f"{title} …", soft_wrap=True)
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TaskProgressColumn(), Rate(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(title, total=total)
        yield lambda: bars.advance(task)


def show_phase(console: Console, title: str, phase: PhaseFigures) -> None:
    console.print(
        f"{title}: {phase.done:,} done, {phase.refused:,} refused, in {phase.seconds:.1f} s: "
        f"{phase.commands_per_s:,.0f} commands/s, p50 {phase.p50_ms:.1f} ms, p99 {phase.p99_ms:.1f} ms",
        soft_wrap=True,
    )


def show_answers(console: Console, answers: Answers) -> None:
    rows = [
        (sales.sku, answers.products[sales.sku].name.strip(), f"{sales.units:,}", pounds(sales.revenue))
        for sales in answers.best_sellers
        if sales.sku in answers.products
    ]
    console.print(table("Best sellers", ("product", "name"), ("units", "revenue GBP"), rows))
    countries = sorted(answers.countries.values(), key=lambda row: row.revenue, reverse=True)
    shown = [
        (row.country, f"{row.orders:,}", f"{row.credit_notes:,}", pounds(row.revenue))
        for row in countries[:COUNTRIES_SHOWN]
    ]
    title = f"Revenue by country ({len(shown)} of {len(countries)})"
    console.print(table(title, ("country",), ("orders", "credit notes", "revenue GBP"), shown))


def table(title: str, texts: Sequence[str], numbers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in texts:
        made.add_column(name)
    for name in numbers:
        made.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def pounds(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def show_checks(console: Console, checks: Checks) -> None:
    for name, passed in checks.passed.items():
        mark = "[green]ok[/]    " if passed else "[red]FAILED[/]"
        console.print(f"{mark} {name.replace('_', ' ')}")
    for name, failure in checks.failures.items():
        console.print(f"{name.replace('_', ' ')}: {failure}", style="red", markup=False, soft_wrap=True)


def result_of(history: History, answers: Answers, sale: PhaseFigures, replay: PhaseFigures, checks: Checks) -> Result:
    return Result(
        history=history.name,
        orders=sum(row.orders for row in answers.countries.values()),
        credit_notes=sum(row.credit_notes for row in answers.countries.values()),
        lines=history.line_count,
        revenue_by_country={row.country: row.revenue for row in answers.countries.values()},
        commands_per_s=replay.commands_per_s,
        p50_ms=replay.p50_ms,
        p99_ms=replay.p99_ms,
        flash_sale=sale,
        replay=replay,
        checks=checks.passed,
        failures=checks.failures,
    )
