"""What docs/how-to/operate.md says about backups holds under load."""

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from examples.bank import AccountsOf, Deposit, OpenAccount, app
from tests.docs.pages import page
from twofold import Settings, System, connect
from twofold.errors import CheckpointAheadError

ACCOUNTS = 20
BackUp = Callable[[Path, Path], None]


def documented() -> BackUp:
    """The function of the page."""
    code = re.search(r"```python\n(# file: backup\.py\n.*?)```", page("how-to/operate.md"), re.DOTALL)
    assert code
    names: dict[str, Any] = {"__name__": "backup"}
    exec(code[1], names)
    return cast("BackUp", names["back_up"])


def settings(folder: Path) -> Settings:
    return Settings(event_log=f"sqlite:///{folder / 'log.db'}")


@contextlib.asynccontextmanager
async def busy(folder: Path):
    """A bank on files, with deposits without end."""

    async def deposit(system: System, number: int) -> None:
        while True:
            await system.send(Deposit(account_id=str(number), amount=Decimal(1)))

    folder.mkdir()
    async with connect(app, settings(folder)) as system:
        for number in range(ACCOUNTS):
            await system.send(OpenAccount(account_id=str(number), owner="ann"))
        load = [asyncio.create_task(deposit(system, number)) for number in range(ACCOUNTS)]
        yield system
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)


async def test_a_backup_taken_under_load_starts_and_its_read_models_equal_its_log(tmp_path: Path) -> None:
    back_up = documented()
    async with busy(tmp_path / "live"):
        for number in range(3):
            await asyncio.to_thread(back_up, tmp_path / "live", tmp_path / f"backup{number}")
    for number in range(3):
        async with connect(app, settings(tmp_path / f"backup{number}")) as system:
            await system.settle()
            deposits = await system.log.head() - ACCOUNTS
            balances = await system.ask(AccountsOf(owner="ann"))
            assert deposits > 0
            assert sum(row.balance for row in balances) == deposits


async def test_the_other_order_is_refused_when_it_is_restored(tmp_path: Path) -> None:
    """A read store that knows more than the log."""
    async with busy(tmp_path / "live") as system:
        (tmp_path / "backup").mkdir()
        copy(tmp_path / "live" / "log.db", tmp_path / "backup")
        await system.ask(AccountsOf(owner="ann"), after=await system.log.head() + ACCOUNTS)
        copy(tmp_path / "live" / "log.read.db", tmp_path / "backup")
    with pytest.raises(CheckpointAheadError, match="different histories"):
        async with connect(app, settings(tmp_path / "backup")):
            pass
    (tmp_path / "backup" / "log.read.db").unlink()
    async with connect(app, settings(tmp_path / "backup")) as system:
        await system.settle()


def copy(file: Path, into: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.execute("VACUUM INTO ?", [str(into / file.name)])
