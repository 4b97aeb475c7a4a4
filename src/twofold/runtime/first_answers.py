"""The first answers of the newest command ids, in memory.

The log knows every id. This spares what a repeat would cost there: a decision that comes to nothing, and loading the
stream again because the state in memory had gone on with it.
"""

from __future__ import annotations

from collections import OrderedDict

from twofold.errors import CommandIdReusedError
from twofold.ports import NewRecord
from twofold.runtime.lanes import Accepted

__all__ = ["FirstAnswers"]


class FirstAnswers:
    """Keeps the newest `size` answers to commands that came with an id."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[str, tuple[bytes, Accepted]] = OrderedDict()

    def remember(self, record: NewRecord, accepted: Accepted) -> None:
        self._kept[record.command_id] = record.fingerprint, accepted
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def first(self, record: NewRecord) -> Accepted | None:
        """The first answer, marked as replayed; CommandIdReusedError when the id was another command's."""
        kept = self._kept.get(record.command_id)
        if kept is None:
            return None
        fingerprint, accepted = kept
        if fingerprint != record.fingerprint:
            raise CommandIdReusedError(record.command_id, str(accepted.stream))
        return accepted.as_replayed()
