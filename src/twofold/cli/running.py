"""Coroutines, run from a command to their end."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run"]

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, which is imported only now: it takes longer than all that help needs."""
    import asyncio

    return asyncio.run(work)
