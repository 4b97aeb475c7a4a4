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
from twofold.settings import Settings

if TYPE_CHECKING:
    from twofold.operations import Finding

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

    from twofold import operations, wiring

    application, about_it = _application(spec)
    yield about_it
    yield from operations.findings_about_settings(settings)
    versions = version("twofold"), platform.python_version(), wiring.SQLITE_VERSION
    yield from operations.findings_about_versions(*versions)
    reports = wiring.reports_on(settings, deep=True)
    for report in reports:
        yield from operations.findings_about_store(report)
    if reports[0].state == "up to date":
        yield from run(_log_findings(settings, application, reports[-1].checkpoints))


async def _log_findings(settings: Settings, application: Application | None, checkpoints: Any) -> list[Finding]:
    from twofold import operations, wiring

    async with wiring.open_event_log(settings) as log:
        names = application.read_models if application else checkpoints
        found = operations.findings_about_checkpoints(list(names), checkpoints, await log.head())
        return found + await operations.findings_about_clock(log, wiring.SystemClock().now())


def _application(spec: str) -> tuple[Application | None, Finding]:
    from twofold.operations import Finding

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
