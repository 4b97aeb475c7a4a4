"""`twofold doctor`: everything that may be wrong around an application, each with its cure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from twofold.application import Application
from twofold.cli.application import chosen_application, load_application
from twofold.cli.options import app_argument, as_json_option, settings_from, store_options
from twofold.cli.output import print_json, styled_state
from twofold.cli.running import run
from twofold.errors import TwofoldError
from twofold.settings import Settings, StoreKind

if TYPE_CHECKING:
    from twofold.operations.findings import Finding
    from twofold.stores.reports import ServerReport, StoreReport

__all__ = ["doctor"]


@click.command()
@app_argument
@store_options
@as_json_option
@click.pass_context
def doctor(ctx: click.Context, app: str | None, as_json: bool, **stores: Any) -> None:
    """Say what is wrong around the application, and the cure.

    Looks at application, settings, versions, stores, disk, read models and clock.

    Changes nothing and may run beside a service. Every page of the files is read, which takes a while where they are
    large. Exit code 1 when something fails.
    """
    spec, settings = chosen_application(app), settings_from(**stores)
    found: list[Finding] = []
    for finding in _findings(spec, settings):
        found.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json(found)
    if any(finding.status == "fail" for finding in found):
        ctx.exit(1)


def _findings(spec: str, settings: Settings) -> Iterator[Finding]:
    import platform
    from importlib.metadata import version

    from twofold import wiring
    from twofold.operations import findings

    application, about_it = _application(spec)
    yield about_it
    yield from findings.findings_about_settings(settings)
    kinds = {settings.event_log_at.kind, settings.read_store_at.kind}
    sqlite = wiring.SQLITE_VERSION if StoreKind.SQLITE in kinds else ""
    versions = version("twofold"), platform.python_version(), sqlite
    yield from findings.findings_about_versions(*versions)
    servers, reports = run(_looked_at(settings), settings)
    for server in servers:
        yield from findings.findings_about_server(server, settings.postgres_tls)
    for report in reports:
        yield from findings.findings_about_store(report)
    if all(report.state == "up to date" for report in reports):
        yield from run(_log_findings(settings, application), settings)


async def _looked_at(settings: Settings) -> tuple[list[ServerReport], list[StoreReport]]:
    """Servers and stores at the same time: one that does not answer takes its while."""
    import asyncio

    from twofold import wiring

    return await asyncio.gather(wiring.servers_of(settings), wiring.reports_on(settings, deep=True))


async def _log_findings(settings: Settings, application: Application | None) -> list[Finding]:
    from twofold import wiring
    from twofold.operations import findings

    checkpoints = await wiring.stored_checkpoints(settings)
    async with wiring.open_event_log(settings) as log:
        names = application.read_models if application else checkpoints
        found = findings.findings_about_checkpoints(list(names), checkpoints, await log.head())
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
