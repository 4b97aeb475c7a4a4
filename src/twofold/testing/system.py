"""A whole system in the test's own process, in memory or on SQLite, with a clock that the test owns."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from twofold.application import Application
from twofold.runtime.lifecycle import System
from twofold.settings import Settings
from twofold.testing.clocks import TestClock
from twofold.wiring import connect

__all__ = ["RunningSystem", "running"]

if TYPE_CHECKING:

    class RunningSystem(System):
        """A system whose clock the test owns."""

        clock: TestClock  # pyright: ignore[reportIncompatibleVariableOverride] - it is never set to another
else:
    RunningSystem = System


@asynccontextmanager
async def running(
    app: Application,
    *,
    folder: Path | None = None,
    settings: Settings | None = None,
    clock: TestClock | None = None,
) -> AsyncGenerator[RunningSystem]:
    """Run the application: `async with running(app) as system: await system.send(...); await system.settle()`.

    The stores are in memory, or with `folder` SQLite files in it, whatever the settings say. `system.clock` stands
    still until the test moves it.
    """
    log = "memory:" if folder is None else f"sqlite:///{folder / 'log.db'}"
    chosen = dataclasses.replace(settings or Settings(), event_log=log, read_store="")
    async with connect(app, chosen, clock=clock or TestClock()) as system:
        yield cast("RunningSystem", system)
