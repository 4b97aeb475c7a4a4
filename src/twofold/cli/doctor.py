"""`twofold doctor`: everything that may be wrong around an application, each with its cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from twofold.application import Application
from twofold.cli.application import chosen_application, load_application
from twofold.cli.options import app_argument, as_json_option, settings_from, store_options
from twofold.cli.output import print_json, styled_state
from twofold.cli.running import run
from twofold.errors import SettingsError, TwofoldError
from twofold.settings import Role, Settings, StoreKind

if TYPE_CHECKING:
    from twofold.operations.findings import Finding
    from twofold.ports import Checkpoint
    from twofold.stores.reports import ServerReport, StoreReport

__all__ = ["doctor"]


@click.command()
@app_argument
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.ALL.value,
    help="Look at what a service of this role needs, with its rights.  [default: all]",
)
@store_options
@as_json_option
@click.pass_context
def doctor(ctx: click.Context, app: str | None, role: str, as_json: bool, **stores: Any) -> None:
    """Say what is wrong around the application, and the cure.

    Looks at application, settings, versions, stores, disk, read models and clock. In a container of one role give that
    role: then it looks at that role's stores alone, and needs no rights that the role has not.

    Changes nothing and may run beside a service. Every page of the files is read, which takes a while where they are
    large. Exit code 1 when something fails.
    """
    spec, settings = chosen_application(app), settings_from(**stores)
    found: list[Finding] = []
    for finding in _findings(spec, settings, Role(role)):
        found.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json(found)
    if any(finding.status == "fail" for finding in found):
        ctx.exit(1)


def _findings(spec: str, settings: Settings, role: Role) -> Iterator[Finding]:
    import platform
    from importlib.metadata import version

    from twofold import wiring
    from twofold.operations import findings

    application, about_it = _application(spec)
    yield about_it
    yield from findings.findings_about_settings(settings)
    yield from (unfit := _unfit(settings, role))
    places = [settings.event_log_at] * role.sees_log + [settings.read_store_at] * role.sees_rows
    sqlite = wiring.SQLITE_VERSION if any(each.kind is StoreKind.SQLITE for each in places) else ""
    versions = version("twofold"), platform.python_version(), sqlite
    yield from findings.findings_about_versions(*versions)
    if unfit:
        return
    servers, reports = run(_looked_at(settings, role), settings)
    for server in servers:
        yield from findings.findings_about_server(server, settings.postgres_tls)
    for report in reports:
        yield from findings.findings_about_store(report)
    if all(report.state == "up to date" for report in reports):
        yield from run(_positions(settings, role, application), settings)


def _unfit(settings: Settings, role: Role) -> list[Finding]:
    """What keeps the role from having its stores at all."""
    from twofold import wiring
    from twofold.operations.findings import Finding

    try:
        wiring.check_places(settings, role)
    except SettingsError as error:
        text, _, mend = str(error).removesuffix(")").partition("; nothing was started (")
        return [Finding(status="fail", subject="settings", text=text, mend=mend)]
    return []


async def _looked_at(settings: Settings, role: Role) -> tuple[list[ServerReport], list[StoreReport]]:
    """Servers and stores at the same time: one that does not answer takes its while."""
    import asyncio

    from twofold import wiring

    return await asyncio.gather(wiring.servers_of(settings, role), wiring.reports_on(settings, role, deep=True))


async def _positions(settings: Settings, role: Role, application: Application | None) -> list[Finding]:
    """How far the read models are, as far as the role can see it, and whether its clock fits the log."""
    from twofold import wiring
    from twofold.operations import findings

    checkpoints: Mapping[str, Checkpoint] = {}
    names: list[str] = []
    if role.sees_rows:
        checkpoints = await wiring.stored_checkpoints(settings)
        names = list(application.read_models if application else checkpoints)
    if not role.sees_log:
        return findings.findings_about_checkpoints(names, checkpoints, None)
    async with wiring.open_event_log(settings) as log:
        found = findings.findings_about_checkpoints(names, checkpoints, await log.head())
        return found + await findings.findings_about_clock(log, wiring.SystemClock().now())


def _application(spec: str) -> tuple[Application | None, Finding]:
    from twofold.operations.findings import Finding

    try:
        application = load_application(spec)
    except (TwofoldError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        mend = f'mend it; "twofold check {spec}" shows it too'
        return None, Finding(status="fail", subject="application", text=text, mend=mend)
    errors = [gap for gap in application.check() if gap.severity == "error"]
    if errors:
        text = f"{spec} has {len(errors)} gaps that are errors"
        return application, Finding(
            status="warn", subject="application", text=text, mend=f'run "twofold check {spec}" and mend them'
        )
    return application, Finding(status="ok", subject="application", text=f"{spec} is {application.name}")


def _print(finding: Finding) -> None:
    click.echo(f"{styled_state(finding.status)}{' ' * (5 - len(finding.status))} {finding.subject}: {finding.text}")
    if finding.mend:
        click.echo(f"      → {finding.mend}")
