import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.unit.cli.conftest import Twofold
from twofold.cli.program import program

HEAVY = "{'asyncio', 'http.client', 'rich', 'sqlite3', 'starlette', 'structlog', 'uvicorn', 'prometheus_client'}"


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


@pytest.mark.parametrize("path", list(commands(program)), ids=" ".join)
def test_every_command_says_what_it_does(twofold: Twofold, path: tuple[str, ...]) -> None:
    shown = twofold(*path, "--help")
    assert shown.exit_code == 0
    assert "..." not in shown.stdout.split("Options:")[0].replace("[ARGS]...", "")


@pytest.mark.parametrize("path", [path for path in commands(program) if path[-1] == "list" or path == ("check",)])
def test_whatever_lists_something_speaks_json(twofold: Twofold, path: tuple[str, ...]) -> None:
    assert "--json" in twofold(*path, "--help").stdout


def test_the_commands_are_shown_whole(twofold: Twofold) -> None:
    shown = twofold("--help").stdout.split("Commands:")[1]
    assert "..." not in shown
    assert [line.split()[0] for line in shown.strip().splitlines()] == list(program.commands)


@pytest.mark.parametrize(
    "code",
    ["import twofold", "from twofold.cli.program import program; program(['--help'], standalone_mode=False)"],
    ids=["import twofold", "twofold --help"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('heavy:', {HEAVY} & set(sys.modules))"],
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},  # it imports sqlite3
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1:] == ["heavy: set()"], done.stderr


def test_an_unknown_command_is_wrong_usage(twofold: Twofold) -> None:
    assert twofold("evnts").exit_code == 2


@pytest.mark.parametrize(
    ("variable", "hint"), [("TWOFOLD_HTTP_PRT", "TWOFOLD_HTTP_PORT"), ("TWOFOLD_X", "settings.md")]
)
def test_an_unknown_setting_is_wrong_usage(
    twofold: Twofold, monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    monkeypatch.setenv(variable, "1")
    failed = twofold("events", "count", "examples.bank:app")
    assert failed.exit_code == 2
    assert hint in failed.stderr
    assert "Traceback" not in failed.stderr


def test_an_option_overrides_its_setting(twofold: Twofold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_EVENT_LOG", "sqlite:///one.db")
    failed = twofold("events", "count", "examples.bank:app", "--event-log", "sqlite:///two.db")
    assert failed.exit_code == 1
    assert "two.db" in failed.stderr


def test_a_store_that_no_process_shares_is_wrong_usage(twofold: Twofold) -> None:
    failed = twofold("events", "count", "examples.bank:app", "--event-log", "memory:")
    assert failed.exit_code == 2
    assert "one process" in failed.stderr


def test_ctrl_c_ends_a_command_quietly(twofold: Twofold, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("twofold.cli.check.load_application", interrupted)
    ended = twofold("check", "examples.bank:app")
    assert (ended.exit_code, ended.output) == (130, "")


def test_a_folder_that_can_not_be_made_is_named(folder: Path, twofold: Twofold) -> None:
    (folder / ".twofold").write_text("a file, and no folder")
    failed = twofold("dev", "examples.bank:app", "--port", "0", "--no-reload")
    assert failed.exit_code == 1
    assert "TWOFOLD_EVENT_LOG" in failed.stderr
