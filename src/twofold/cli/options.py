"""Arguments and options that many commands share, and the settings that they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from twofold.settings import Settings

__all__ = [
    "app_argument",
    "app_before",
    "as_json_option",
    "http_options",
    "settings_from",
    "store_options",
]

F = TypeVar("F", bound=Callable[..., Any])

app_argument = click.argument("app", required=False, metavar="[APP]")
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def store_options(function: F) -> F:
    for option in (
        click.option("--read-store", metavar="URL", help="Where read models are. [default: beside the event log]"),
        click.option("--event-log", metavar="URL", help="The event log. [default: sqlite:///.twofold/log.db]"),
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
    return Settings.from_environment(os.environ, **overrides)


def app_before(name: str, words: tuple[str, ...]) -> tuple[str | None, str]:
    """Split `[APP] NAME`, of which the first may be left out."""
    match words:
        case (only,):
            return None, only
        case (app, last):
            return app, last
        case _:
            raise click.UsageError(f"give {name}, or the application and {name}")
