"""The newest events, kept in memory: whoever reads near the head needs neither SQL nor another thread."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.messages import RawEvent
from twofold.streams import Position

__all__ = ["Tail"]

MAX_EVENTS = 10_000
MAX_BYTES = 16_000_000
_EVENT_OVERHEAD_BYTES = 300


class Tail:
    """A run of committed events that ends at the head. Only for the event loop's own thread."""

    def __init__(self, head: Position, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._before = head
        self._events: list[RawEvent] = []
        self._bytes = 0
        self._max_events, self._max_bytes = max_events, max_bytes

    def add(self, events: Sequence[RawEvent]) -> None:
        """Take the events after the head. Forgets half when there are too many, so that forgetting is rare."""
        self._events += events
        self._bytes += sum([len(event.data) + len(event.metadata) for event in events])
        self._bytes += _EVENT_OVERHEAD_BYTES * len(events)
        while len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self._forget((len(self._events) + 1) // 2)

    def read(self, after: Position, limit: int) -> Sequence[RawEvent] | None:
        """The next events, none at the head; None when some of them are no longer (or never were) here."""
        first = after - self._before
        return self._events[first : first + limit] if first >= 0 else None

    def _forget(self, count: int) -> None:
        forgotten, self._events = self._events[:count], self._events[count:]
        self._before = forgotten[-1].position
        self._bytes -= sum([len(event.data) + len(event.metadata) for event in forgotten])
        self._bytes -= _EVENT_OVERHEAD_BYTES * count
