"""Coroutines, run from a command to their end."""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine
from typing import Any, TypeVar

from twofold.settings import Settings

__all__ = ["run"]

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], settings: Settings) -> T:
    """`asyncio.run`, with logs on stderr: of errors only, unless the settings want it otherwise.

    What it needs is imported only now: that takes longer than all that help needs.
    """
    import asyncio

    from twofold.observability.logs import configure_logs

    quiet = settings.log_level == Settings().log_level
    configure_logs(dataclasses.replace(settings, log_level="error") if quiet else settings)
    return asyncio.run(work)
