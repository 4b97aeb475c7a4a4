"""What tests of commands share: a folder of their own to stand in, and a log with a story in it."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from examples.bank import Deposit, OpenAccount, app
from twofold.cli.program import program
from twofold.testing import TestClock, running

Twofold = Callable[..., Result]
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, without settings in the environment; what a command imports from it is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name in [name for name in os.environ if name.startswith("TWOFOLD_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Commands set up the logs of their process, which is the tests' own here."""
    root = logging.getLogger()
    handlers, level, known = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**known)


@pytest.fixture
def twofold() -> Twofold:
    """Run a command line in this process: `twofold("events", "count").exit_code`."""

    def run(*words: str) -> Result:
        result = CliRunner().invoke(program, words, prog_name="twofold")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def story(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank's log with three events in two streams, all of them folded; the settings lead to it."""

    async def tell() -> None:
        async with running(app, folder=folder, clock=TestClock(NOON)) as system:
            for account_id in ("a1", "a2"):
                await system.send(OpenAccount(account_id=account_id, owner="ann"))
            await system.send(Deposit(account_id="a1", amount=Decimal("9.95")))
            await system.settle()

    asyncio.run(tell())
    monkeypatch.setenv("TWOFOLD_APP", "examples.bank:app")
    monkeypatch.setenv("TWOFOLD_EVENT_LOG", "sqlite:///log.db")
    return folder / "log.db"
