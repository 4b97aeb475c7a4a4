"""The writer thread's side of the event log: batches in, one transaction, outcomes out.

It is the file's only writer, so what it remembers of head and versions is what the file holds. A batch is first decided
on what is remembered and on the hope that no command id comes twice; the constraints of the tables guard that hope.
When it fails, or a commit is to be refused, everything is looked up and the batch decided again.

A batch of up to 256 events is one statement that is its own transaction. With another thread computing all the time,
appends of 64 commits with command records took 8 ms so, 24 ms as BEGIN, two INSERT … VALUES and COMMIT, and 340 ms by
`executemany` (Python 3.11, 2 cores; 3.6, 4.7 and 41 ms with `sys.setswitchinterval(0.0005)`). `INSERT … SELECT FROM
json_each(?)` waits as little and costs 0.5 ms more of CPU. Undisturbed, each takes 1.5 to 2.5 ms, mostly for writing
the pages of the indexes; the view and its trigger are 0.2 ms of it, outside the GIL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from msgspec.structs import astuple

from twofold.errors import UnknownOutcomeError
from twofold.messages import RawEvent
from twofold.ports import Appended, CommandRecord, Commit, Outcome
from twofold.stores.admission import Admission
from twofold.stores.sqlite.connections import meaning, roll_back, transaction
from twofold.stores.sqlite.event_reader import SQL, find_commands, read_head, read_versions
from twofold.streams import Position

__all__ = ["Writer", "Written"]

ROWS_PER_STATEMENT = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Statements are prepared for these sizes and padded with empty rows, so that all of them stay in the cache."""

REMEMBERED_STREAMS = 100_000

_NO_EVENT = (None,) * 8
_NO_RECORD = (None,) * 6
_ROW = f"({', '.join('?' * (len(_NO_EVENT) + len(_NO_RECORD)))})"


class Written(NamedTuple):
    """What became of some batches: their outcomes, and the events that are durable now."""

    outcomes: Sequence[Sequence[Outcome]]
    events: Sequence[RawEvent]
    head: Position


class Writer:
    """Decides and writes on one connection. Not for more than one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, store: str) -> None:
        self._connection, self._store = connection, store
        connection.executescript(SQL["prepare_writer"])
        self._statements = {rows: SQL["store"].format(rows=", ".join([_ROW] * rows)) for rows in ROWS_PER_STATEMENT}
        self._versions: dict[str, int] = {}
        self._head: Position | None = None

    def write(self, batches: Sequence[Sequence[Commit]]) -> Written:
        """Decide the batches one after another and write what is admitted in one transaction."""
        written = self._write_hopefully(batches)
        return written if written is not None else self._write_thoroughly(batches)

    def _write_hopefully(self, batches: Sequence[Sequence[Commit]]) -> Written | None:
        """As if no command id to be recorded were known and no unknown stream existed; None when that does not hold."""
        checks = [each for commits in batches for each in commits if each.check_only]
        admission = Admission(self._known_head(), self._hoped_versions(batches), self._known_of(checks))
        outcomes = [admission.admit(commits) for commits in batches]
        if not all(type(outcome) is Appended for outcome in chain.from_iterable(outcomes)):
            return None  # a refusal must name the true version, and the command id goes before it
        try:
            return self._store_admitted(admission, outcomes)
        except sqlite3.IntegrityError:
            self._versions.clear()
            return None

    def _write_thoroughly(self, batches: Sequence[Sequence[Commit]]) -> Written:
        commits = list(chain.from_iterable(batches))
        versions = read_versions(self._connection, [*{str(commit.stream) for commit in commits}])
        admission = Admission(self._known_head(), versions, self._known_of(commits))
        return self._store_admitted(admission, [admission.admit(commits) for commits in batches])

    def _known_of(self, commits: Sequence[Commit]) -> Mapping[str, CommandRecord]:
        command_ids = [each.record.command_id for each in commits if each.record]
        return find_commands(self._connection, command_ids) if command_ids else {}

    # --- what is remembered ---

    def _known_head(self) -> Position:
        if self._head is None:
            self._head = read_head(self._connection)
        return self._head

    def _hoped_versions(self, batches: Sequence[Sequence[Commit]]) -> dict[str, int]:
        """Of each stream as it is remembered, 0 for one that its first commit means to open, or else looked up."""
        versions: dict[str, int] = {}
        unknown: list[str] = []
        for commit in chain.from_iterable(batches):
            stream = str(commit.stream)
            if stream not in versions:
                version = self._versions.get(stream)
                if version is None and (commit.expected_version or not commit.events):
                    unknown.append(stream)
                versions[stream] = version or 0
        if unknown:
            versions |= read_versions(self._connection, unknown)
        return versions

    def _remember(self, admission: Admission) -> None:
        self._head = admission.head
        for stream in admission.versions:  # the latest used stand last
            self._versions.pop(stream, None)
        self._versions |= admission.versions
        if len(self._versions) > REMEMBERED_STREAMS:
            self._versions = dict(list(self._versions.items())[REMEMBERED_STREAMS // 2 :])

    # --- the transaction ---

    def _store_admitted(self, admission: Admission, outcomes: Sequence[Sequence[Outcome]]) -> Written:
        if admission.events or admission.records:
            try:
                self._insert(_rows(admission))
            except sqlite3.IntegrityError:
                roll_back(self._connection)
                raise
            except sqlite3.Error as error:
                roll_back(self._connection)
                self._resolve(error, admission)
        self._remember(admission)
        return Written(outcomes, admission.events, admission.head)

    def _insert(self, rows: Sequence[Sequence[Any]]) -> None:
        most = ROWS_PER_STATEMENT[-1]
        if len(rows) <= most:
            self._insert_some(rows)
            return
        with transaction(self._connection):
            for start in range(0, len(rows), most):
                self._insert_some(rows[start : start + most])

    def _insert_some(self, rows: Sequence[Sequence[Any]]) -> None:
        size = next(size for size in ROWS_PER_STATEMENT if size >= len(rows))
        values = list(chain.from_iterable(rows))
        values += [None] * ((size - len(rows)) * (len(_NO_EVENT) + len(_NO_RECORD)))
        self._connection.execute(self._statements[size], values)

    def _resolve(self, error: sqlite3.Error, admission: Admission) -> None:
        """Return when the failed transaction took effect after all, raise what is true when it did not.

        After a failed fsync the transaction's pages may lie in the WAL file, complete but not counted: a crash before
        the next write would bring them back.
        """
        self._head = None
        self._versions.clear()
        try:
            head = read_head(self._connection)
        except sqlite3.Error as second:
            raise UnknownOutcomeError(self._store, f"{error}, then {second}") from error
        if admission.events and head == admission.head:
            return
        if error.sqlite_errorcode == sqlite3.SQLITE_IOERR_FSYNC:
            raise UnknownOutcomeError(self._store, str(error)) from error
        raise meaning(error, self._store) or error


def _rows(admission: Admission) -> Sequence[Sequence[Any]]:
    """Rows of `incoming`: an event and a command record side by side, whether or not they belong together."""
    records = [
        (command_id, fingerprint, f"{stream[0]}-{stream[1]}", version, position, count)
        for command_id, fingerprint, stream, version, position, count in admission.records.values()
    ]
    events = [astuple(event) for event in admission.events]
    if len(records) == len(events):
        return [event + record for event, record in zip(events, records, strict=True)]
    return [(event or _NO_EVENT) + (record or _NO_RECORD) for event, record in zip_longest(events, records)]
