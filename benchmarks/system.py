"""A system of ours in this process, on SQLite in a given folder."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from benchmarks.bank import AGGREGATES, openings
from benchmarks.in_flight import all_done
from benchmarks.logs import log_path
from twofold import Application, Settings, System, connect

__all__ = ["connected", "open_accounts"]


def connected(app: Application, folder: Path) -> AbstractAsyncContextManager[System]:
    return connect(app, settings=Settings(event_log=f"sqlite:///{log_path(folder)}"))


async def open_accounts(system: System) -> None:
    await all_done(system.send(command) for command in openings(AGGREGATES))
