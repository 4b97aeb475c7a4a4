"""`twofold schema`: the stores' tables and this release's."""

from __future__ import annotations

from typing import Any

import click

from twofold.cli.application import chosen_application
from twofold.cli.options import app_argument, as_json_option, settings_from, store_options
from twofold.cli.output import print_json, print_table
from twofold.cli.running import run
from twofold.settings import Settings

__all__ = ["schema"]


@click.group()
def schema() -> None:
    """See the schema of the stores, and bring it up to date.

    SQLite files are made and migrated by the service that writes them, so "migrate" is only for doing it beforehand.
    """


@schema.command()
@app_argument
@store_options
@as_json_option
@click.pass_context
def status(ctx: click.Context, app: str | None, as_json: bool, **stores: Any) -> None:
    """Show each store's schema beside the one that this release knows. Exit code 1 when a store can't be used."""
    chosen_application(app)
    if not _show(settings_from(**stores), as_json):
        ctx.exit(1)


@schema.command()
@app_argument
@store_options
@as_json_option
@click.pass_context
def migrate(ctx: click.Context, app: str | None, as_json: bool, **stores: Any) -> None:
    """Make the stores if they are missing, and migrate them if they are older than this release."""
    chosen_application(app)
    settings = settings_from(**stores)
    _migrate(settings)
    if not _show(settings, as_json):
        ctx.exit(1)


def _migrate(settings: Settings) -> None:
    from twofold.wiring import open_stores, reports_on

    if all(report.schema == report.known_schema for report in reports_on(settings)):
        return

    async def open_once() -> None:
        async with open_stores(settings):
            pass

    run(open_once())


def _show(settings: Settings, as_json: bool) -> bool:
    """Print a line per store; False when one can't be used by this release."""
    from twofold.wiring import reports_on

    reports = reports_on(settings)
    if as_json:
        print_json(
            [
                {
                    "store": report.label,
                    "place": report.place,
                    "schema": report.schema,
                    "known_schema": report.known_schema,
                    "state": report.state,
                }
                for report in reports
            ]
        )
    else:
        rows = [(each.label, each.schema or "-", each.known_schema, each.place, each.state) for each in reports]
        print_table(("store", "schema", "known", "place", "state"), rows)
    return not any(report.error or (report.schema or 0) > report.known_schema for report in reports)
