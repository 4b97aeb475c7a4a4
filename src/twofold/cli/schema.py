"""`twofold schema`: the stores' tables and this release's, and who may do what with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from twofold.cli.application import chosen_application
from twofold.cli.options import app_argument, as_json_option, settings_from, store_options
from twofold.cli.output import print_json, print_table
from twofold.cli.running import run
from twofold.errors import StoreError
from twofold.settings import Settings

if TYPE_CHECKING:
    from twofold.stores.reports import StoreReport

__all__ = ["schema"]


@click.group()
def schema() -> None:
    """See the schema of the stores, and bring it up to date.

    Services on PostgreSQL refuse to start before "migrate" has run. SQLite files are made and migrated by the service
    that writes them, so there it is only for doing it beforehand.
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
    """Make the stores if they are missing, and migrate them if they are older than this release.

    On PostgreSQL the user must be allowed to make schemas in the database. Any number may run at once.
    """
    from twofold import wiring

    chosen_application(app)
    settings = settings_from(**stores)
    run(wiring.migrate(settings), settings)
    if not _show(settings, as_json):
        ctx.exit(1)


@schema.command()
@app_argument
@store_options
@click.option("--print-sql", is_flag=True, help="Print the statements for psql, and change nothing.")
def roles(app: str | None, print_sql: bool, **stores: Any) -> None:
    """Make PostgreSQL's roles for services, each with the rights that it needs and no others.

    To be run after "migrate", by a superuser or by who owns the database's schemas and may make roles; again at any
    time. The roles can't log in: give each service a user of its own that is in the role.
    """
    from twofold import wiring

    chosen_application(app)
    settings = settings_from(**stores)
    if print_sql:
        click.echo(wiring.roles_script(settings), nl=False)
        return
    for place, schemas in run(wiring.make_roles(settings), settings).items():
        if not schemas:
            raise StoreError(place, "it has no schema of Twofold's to give rights on", 'run "twofold schema migrate"')
        click.echo(f"{place}: the roles have their rights on {' and '.join(schemas)}")
    print_table(("a service of the role", "needs a user made by"), [(role, _AS_USER[role]) for role in _AS_USER])


_AS_USER = {
    "command": "CREATE USER … IN ROLE twofold_writer",
    "query": "CREATE USER … IN ROLE twofold_reader",
    "projector": "CREATE USER … IN ROLE twofold_projector",
}


def _show(settings: Settings, as_json: bool) -> bool:
    """Print a line per store; False when one can't be used by this release."""
    from twofold.wiring import reports_on

    reports = run(reports_on(settings), settings)
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
    return all(map(_is_usable, reports))


def _is_usable(report: StoreReport) -> bool:
    """Whether a service of this release starts on it: one that is missing or older only where services migrate."""
    schema = report.schema or 0
    return not report.error and (
        schema == report.known_schema or (schema < report.known_schema and not report.made_by_hand)
    )
