"""Which commits of a batch may be written, and what they become: events with their places, and command records.

Pure: the state that the batch meets comes in, the rows to write come out. What is admitted is the state that the
commits after it meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twofold.messages import RawEvent
from twofold.ports import Appended, CommandRecord, Commit, Conflict, Duplicate, NewRecord, Outcome
from twofold.streams import Position

__all__ = ["Admission"]


class Admission:
    """The rules of `EventLog.append`, over one batch or several one after another.

    `versions` holds the version of every stream of the batches and is brought forward; `known` holds the records of
    those of their command ids that are known. `events`, `records` and `head` are what there is to write.
    """

    def __init__(self, head: Position, versions: dict[str, int], known: Mapping[str, CommandRecord]) -> None:
        self.head, self.versions, self._known = head, versions, known
        self.events: list[RawEvent] = []
        self.records: dict[str, CommandRecord] = {}

    def admit(self, commits: Sequence[Commit]) -> list[Outcome]:
        """One outcome for each commit of a batch, in order."""
        refused: set[str] = set()
        outcomes: list[Outcome] = []
        for commit in commits:
            stream = str(commit.stream)
            outcome = self._refusal(commit, stream, refused)
            if outcome is None:
                outcome = self._take(commit, stream)
            elif commit.events:
                refused.add(stream)
            outcomes.append(outcome)
        return outcomes

    def _refusal(self, commit: Commit, stream: str, refused: set[str]) -> Conflict | Duplicate | None:
        if commit.record is not None:
            command_id = commit.record.command_id
            found = self.records.get(command_id) or self._known.get(command_id)
            if found is not None:
                return Duplicate(found)
        version = self.versions[stream]
        if version != commit.expected_version or stream in refused:
            return Conflict(version)
        return None

    def _take(self, commit: Commit, stream: str) -> Appended:
        position, version = self.head, self.versions[stream]
        if commit.check_only:
            return Appended(version, position)
        for event in commit.events:
            position, version = Position(position + 1), version + 1
            self.events.append(RawEvent(position, stream, version, *event, commit.metadata, commit.recorded_at_us))
        self.head, self.versions[stream] = position, version
        if commit.record is not None:
            self._record(commit, commit.record, version)
        return Appended(version, position)

    def _record(self, commit: Commit, record: NewRecord, version: int) -> None:
        self.records[record.command_id] = CommandRecord(
            record.command_id, record.fingerprint, commit.stream, version, self.head, len(commit.events)
        )
