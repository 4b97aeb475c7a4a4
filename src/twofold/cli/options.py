"""Arguments and options that many commands share, and the settings that they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from twofold.settings import Settings

__all__ = [
    "DEFAULT_EVENT_LOG",
    "app_argument",
    "app_before",
    "as_json_option",
    "http_options",
    "make_default_folder",
    "settings_from",
    "store_options",
]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_EVENT_LOG = "sqlite:///.twofold/log.db"
"""Where the command line keeps the event log unless it is told: every command agrees, so that one sees another's."""

app_argument = click.argument("app", required=False, metavar="[APP]")
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def store_options(function: F) -> F:
    for option in (
        click.option("--read-store", metavar="URL", help="Where read models are. [default: beside the event log]"),
        click.option("--event-log", metavar="URL", help=f"The event log. [default: {DEFAULT_EVENT_LOG}]"),
    ):
        function = option(function)
    return function


def http_options(function: F) -> F:
    for option in (
        click.option("--port", "http_port", type=int, metavar="N", help="Port; 0 takes a free one. [default: 8000]"),
        click.option("--host", "http_host", metavar="ADDRESS", help="Address to listen on. [default: 127.0.0.1]"),
    ):
        function = option(function)
    return function


def settings_from(**overrides: Any) -> Settings:
    """Settings from the environment, with the options that were given; SettingsError when they make no sense."""
    if overrides.get("event_log") is None and not {"TWOFOLD_EVENT_LOG", "TWOFOLD_EVENT_LOG_FILE"} & set(os.environ):
        overrides["event_log"] = DEFAULT_EVENT_LOG
    return Settings.from_environment(os.environ, **overrides)


def make_default_folder(settings: Settings) -> None:
    """Make `.twofold` where it is wanted, out of version control's sight. Other folders are the user's to make."""
    if settings.event_log == DEFAULT_EVENT_LOG:
        folder = Path(".twofold")
        try:
            folder.mkdir(exist_ok=True)
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise click.ClickException(
                f"the folder {folder.absolute()} can't be made: {error.strerror}; nothing was started "
                "(make this folder writable, or say with --event-log where the files are to be)"
            ) from None


def app_before(name: str, words: tuple[str, ...]) -> tuple[str | None, str]:
    """Split `[APP] NAME`, of which the first may be left out."""
    match words:
        case (only,):
            return None, only
        case (app, last):
            return app, last
        case _:
            raise click.UsageError(f"give {name}, or the application and {name}")
