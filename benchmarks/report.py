"""Outcomes as a table for people and as JSON for comparison over time."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from benchmarks.harness import Outcome, Verdict

__all__ = ["table", "write_json"]

DISTURBED = 0.1


def table(title: str, outcomes: Sequence[Outcome]) -> Table:
    view = Table(title=title)
    for heading in ("benchmark", "figure"):
        view.add_column(heading, no_wrap=True)
    for heading in ("value", "target", ""):
        view.add_column(heading, justify="right", no_wrap=True)
    for outcome in outcomes:
        for row in _rows(outcome):
            view.add_row(*row)
        view.add_section()
    disturbed = [outcome.benchmark.name for outcome in outcomes if max(outcome.disturbed.values()) > DISTURBED]
    if disturbed:
        view.caption = f"Other processes took more than {DISTURBED:.0%} of the machine during: {', '.join(disturbed)}"
    return view


def _rows(outcome: Outcome) -> Iterable[tuple[str, str, str, str, str]]:
    name = outcome.benchmark.name
    verdicts = list(outcome.verdicts())
    plain = {verdict.target.figure: verdict for verdict in verdicts if verdict.target.of is None}
    for figure in outcome.runs:
        yield name, figure, _number(outcome.median(figure)), *_judged(plain.pop(figure, None))
        name = ""
    for verdict in [*plain.values(), *(verdict for verdict in verdicts if verdict.target.of is not None)]:
        yield name, _label(verdict), _number(verdict.value), *_judged(verdict)
        name = ""
    for side in outcome.failures:
        yield name, side, "-", "", "[red]failed[/red]"
        name = ""


def _label(verdict: Verdict) -> str:
    target = verdict.target
    if target.of is None:
        return target.figure
    side, _, figure = target.of.partition(".")
    return f"{target.figure} / {side if target.figure.endswith('.' + figure) else target.of}"


def _judged(verdict: Verdict | None) -> tuple[str, str]:
    if verdict is None:
        return "", ""
    low, high = verdict.target.at_least, verdict.target.at_most
    bounds = [f"≥ {_number(low)}"] if low is not None else []
    bounds += [f"≤ {_number(high)}"] if high is not None else []
    if not bounds:
        return "", ""
    return ", ".join(bounds), "[green]ok[/green]" if verdict.ok else "[red]short[/red]"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.3g}"


def write_json(
    folder: Path, outcomes: Sequence[Outcome], *, machine: Mapping[str, object], options: Mapping[str, object]
) -> Path:
    """One file per run, named by its time; the answer is its path."""
    now = datetime.now(UTC)
    record = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine,
        "options": options,
        "benchmarks": [_record(outcome) for outcome in outcomes],
    }
    path = folder / f"{now:%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path


def _record(outcome: Outcome) -> Mapping[str, object]:
    return {
        "name": outcome.benchmark.name,
        "about": outcome.benchmark.about,
        "figures": {name: {"median": outcome.median(name), "runs": runs} for name, runs in outcome.runs.items()},
        "targets": [
            {
                "figure": _label(verdict),
                "at_least": verdict.target.at_least,
                "at_most": verdict.target.at_most,
                "value": verdict.value,
                "ok": verdict.ok,
            }
            for verdict in outcome.verdicts()
        ],
        "failures": outcome.failures,
        "cpu_share_of_others": {side: round(share, 3) for side, share in outcome.disturbed.items()},
    }
