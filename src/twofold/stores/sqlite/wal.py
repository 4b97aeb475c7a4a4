"""Notices a WAL file that grows: while somebody reads in one long transaction, checkpoints can't empty it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import structlog

__all__ = ["WalWatch"]

FIRST_WARNING_BYTES = 256_000_000
"""Four times what is left of a WAL file once a checkpoint has emptied it (connections.sql)."""

TRANSACTIONS_PER_LOOK = 100

logger = structlog.get_logger("twofold.sqlite")


class WalWatch:
    """Logs a warning each time the file has doubled beyond 256 MB, and starts anew once it is small again."""

    def __init__(self, path: Path, *, first_warning_bytes: int = FIRST_WARNING_BYTES) -> None:
        self._path = f"{path}-wal"
        self._first_warning_bytes = self._warn_at_bytes = first_warning_bytes
        self._transactions = 0

    def after_transaction(self) -> None:
        """To be called by the writer; looks at the file every hundredth time."""
        self._transactions += 1
        if self._transactions % TRANSACTIONS_PER_LOOK == 0:
            with suppress(OSError):  # what is written is written, whether or not the file can be looked at
                self._look(os.stat(self._path).st_size)

    def _look(self, size_bytes: int) -> None:
        if size_bytes >= self._warn_at_bytes:
            advice = "a reader keeps a transaction open: end it, so that the file can be emptied"
            logger.warning("wal-grows", file=self._path, size_bytes=size_bytes, advice=advice)
            self._warn_at_bytes = size_bytes * 2
        elif size_bytes < self._first_warning_bytes:
            self._warn_at_bytes = self._first_warning_bytes
