"""docs/reference/cli.md describes every command and every option of `twofold`."""

import re
from collections.abc import Iterator

import click
import pytest

from tests.docs.pages import page, section
from twofold.cli.program import FAILED, INTERRUPTED, NOT_FOUND, UNKNOWN_SCHEMA, USAGE, program

TEXT = page("reference/cli.md")


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, f"{path} {name}")


COMMANDS = dict(commands(program, "twofold"))


def options(command: click.Command) -> list[str]:
    return [
        name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in (*parameter.opts, *parameter.secondary_opts)
    ]


def headings() -> list[str]:
    return [f"twofold {rest}" for rest in re.findall(r"^#+ twofold (.+)$", TEXT, re.MULTILINE)]


def test_every_command_has_a_heading_and_no_heading_is_of_another() -> None:
    assert set(headings()) == set(COMMANDS) - {"twofold"}


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != "twofold"])
def test_every_option_of_a_command_stands_in_its_section_and_no_other(path: str) -> None:
    text = section(TEXT, path)
    for each in COMMANDS:
        if each.startswith(f"{path} "):
            text = text.replace(section(TEXT, each), "")
    documented = set(re.findall(r"`(--[\w-]+)", text))
    assert documented == set(options(COMMANDS[path]))


def test_every_argument_stands_in_the_usage() -> None:
    for path, command in COMMANDS.items():
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        for each in arguments:
            shown = each.metavar or (each.name or "").upper()
            usage = f"{path} {'ROLE [APP]' if path == 'twofold serve' else shown}"
            assert f"`{usage}`" in section(TEXT, path).replace("\n", " "), path


def test_every_exit_code_is_documented() -> None:
    shown = re.findall(r"^\| (\d+) \|", section(TEXT, "Exit codes"), re.MULTILINE)
    assert [int(code) for code in shown] == [0, FAILED, USAGE, NOT_FOUND, UNKNOWN_SCHEMA, INTERRUPTED]
