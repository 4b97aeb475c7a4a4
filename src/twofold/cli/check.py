"""`twofold check`."""

from __future__ import annotations

import click

from twofold.application import Application
from twofold.cli.application import chosen_application, load_application
from twofold.cli.options import app_argument, as_json_option
from twofold.cli.output import print_json, print_table

__all__ = ["check"]


@click.command()
@app_argument
@as_json_option
@click.pass_context
def check(ctx: click.Context, app: str | None, as_json: bool) -> None:
    """Find what the application leaves open.

    Commands that nobody handles, queries that nobody answers, upcasters that are missing … An error can't run as it is
    meant, and makes the exit code 1. A note may be meant so.
    """
    application = load_application(chosen_application(app))
    gaps = application.check()
    if as_json:
        print_json([{"severity": gap.severity, "component": gap.component, "text": gap.text} for gap in gaps])
    else:
        if gaps:
            print_table(("found", "in", "what"), [(gap.severity, gap.component, gap.text) for gap in gaps])
        click.echo(_summary(application, [gap.severity for gap in gaps]))
    if any(gap.severity == "error" for gap in gaps):
        ctx.exit(1)


def _summary(application: Application, severities: list[str]) -> str:
    counts = (
        (len(application.aggregates), "aggregate", "aggregates"),
        (len(application.commands), "command", "commands"),
        (len(application.events), "event", "events"),
        (len(application.read_models), "read model", "read models"),
        (len(application.queries), "query", "queries"),
    )
    parts = ", ".join(_counted(*each) for each in counts)
    errors, notes = severities.count("error"), severities.count("note")
    return f"{application.name}: {parts}; {_counted(errors, 'error', 'errors')}, {_counted(notes, 'note', 'notes')}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
