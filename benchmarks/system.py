"""A system of ours in this process, on whichever store the URL names."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from benchmarks.bank import AGGREGATES, openings
from benchmarks.in_flight import all_done
from twofold import Application, Settings, System, connect

__all__ = ["connected", "open_accounts", "sqlite_url"]


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'log.db'}"


def connected(app: Application, url: str) -> AbstractAsyncContextManager[System]:
    return connect(app, settings=Settings(event_log=url))


async def open_accounts(system: System) -> None:
    await all_done(system.send(command) for command in openings(AGGREGATES))
