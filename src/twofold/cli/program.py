"""`twofold`: every command, and what an error becomes.

Exit codes: 0 ok, 1 failed, 2 wrong usage or settings, 3 not found, 4 a schema of another release; 130 when Ctrl-C cut a
command short.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from twofold.cli.check import check
from twofold.cli.deploy import deploy
from twofold.cli.doctor import doctor
from twofold.cli.events import events
from twofold.cli.new import new
from twofold.cli.read_models import read_models
from twofold.cli.schema import schema
from twofold.cli.serve import dev, serve
from twofold.errors import (
    InvalidInputError,
    SettingsError,
    TwofoldError,
    UnknownReadModelError,
    UnknownSchemaError,
    UnknownStreamError,
)

__all__ = ["program"]

FAILED, USAGE, NOT_FOUND, UNKNOWN_SCHEMA, INTERRUPTED = 1, 2, 3, 4, 130


class Program(click.Group):
    """Turns what commands raise into one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TwofoldError as error:
            click.echo(f"twofold: {error}", err=True)
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which one comes to need them


def exit_code(error: TwofoldError) -> int:
    match error:
        case UnknownStreamError() | UnknownReadModelError():
            return NOT_FOUND
        case UnknownSchemaError():
            return UNKNOWN_SCHEMA
        case SettingsError() | InvalidInputError():
            return USAGE
        case _:
            return FAILED


def _forget_stdout() -> None:
    """Whoever read our output has had enough (`| head`); the interpreter must not stumble over that on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="twofold", message="%(prog)s %(version)s")
def program() -> None:
    """CQRS with event sourcing: you write the domain, Twofold runs it.

    Commands take the application first, as MODULE:ATTRIBUTE found from the current folder; left out, it is TWOFOLD_APP,
    or "app" under [tool.twofold] in pyproject.toml. Settings are TWOFOLD_* variables; options override them.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 a schema of another release.
    """


for command in (new, dev, serve, check, schema, events, read_models, deploy, doctor):
    program.add_command(command)
