"""Event log in memory. Nothing here awaits while it changes something, so every call is atomic in its event loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from twofold.messages import RawEvent
from twofold.ports import CommandRecord, Commit, Outcome, Snapshot
from twofold.stores.admission import Admission
from twofold.stores.arrivals import Arrivals
from twofold.streams import START, Position, StreamId

__all__ = ["MemoryEventLog"]


class MemoryEventLog:
    """All events in one list: the event at position n has index n - 1. Also keeps snapshots."""

    def __init__(self) -> None:
        self._events: list[RawEvent] = []
        self._streams: defaultdict[str, list[RawEvent]] = defaultdict(list)
        self._commands: dict[str, CommandRecord] = {}
        self._snapshots: dict[StreamId, Snapshot] = {}
        self._arrivals = Arrivals(START)

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        streams = {str(commit.stream) for commit in commits}
        versions = {stream: len(self._streams.get(stream, ())) for stream in streams}
        admission = Admission(self._arrivals.head, versions, self._commands)
        outcomes = admission.admit(commits)
        self._keep(admission)
        return outcomes

    def _keep(self, admission: Admission) -> None:
        self._commands.update(admission.records)
        self._events += admission.events
        for event in admission.events:
            self._streams[event.stream].append(event)
        self._arrivals.reach(admission.head)

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        return [self._streams.get(str(stream), [])[after : after + limit] for stream, after in wanted]

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        return self._events[after : after + limit]

    async def head(self) -> Position:
        return self._arrivals.head

    async def wait(self, after: Position, timeout_s: float) -> bool:
        return await self._arrivals.wait(after, timeout_s)

    async def load_snapshots(self, streams: Sequence[StreamId]) -> Mapping[StreamId, Snapshot]:
        return {stream: self._snapshots[stream] for stream in streams if stream in self._snapshots}

    async def save_snapshots(self, snapshots: Mapping[StreamId, Snapshot]) -> None:
        self._snapshots.update(snapshots)
