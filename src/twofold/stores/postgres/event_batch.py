"""A batch of commits as the columns that `twofold_log.append` takes, and its answer as outcomes. Pure.

What can be decided here is decided here: where each event will stand, counted from the head that the batch will meet,
if no commit is refused. The function only looks whether that is so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, repeat
from typing import Any, NamedTuple

import msgspec

from twofold.ports import Appended, CommandRecord, Commit, Conflict, Duplicate, Outcome
from twofold.streams import Position, StreamId

__all__ = ["SEPARATOR", "Batch", "array_of", "joined", "outcomes_of"]

SEPARATOR = "\x1e"
"""Divides texts. No JSON text contains it, nor a name that can be printed."""


_ENCODE = msgspec.json.Encoder().encode
"""Of whole numbers it writes what `str` does, eight times as fast."""


class Batch(NamedTuple):
    """The parameters of the statement `append`."""

    columns: str
    data: str
    metadata: str

    @classmethod
    def of(cls, calls: Sequence[Sequence[Commit]]) -> Batch:
        """Several callers' batches, one after another: they are written together, each by its own rules."""
        commits = list(chain.from_iterable(calls))
        counts = [0 if commit.check_only else len(commit.events) for commit in commits]
        streams, records = _streams(commits, counts), _records(commits)
        events, data, metadata = _events(commits, counts)
        columns = {
            **streams,
            **records,
            **events,
            "chained": streams["chained"] and records["chained"],
            "call": array_of(chain.from_iterable(repeat(call, len(each)) for call, each in enumerate(calls, start=1))),
            "checks": array_of(int(commit.check_only) for commit in commits),
        }
        return cls(_ENCODE(columns).decode(), data, metadata)


def array_of(numbers: Iterable[int]) -> str:
    """An array as PostgreSQL writes it."""
    return "{" + _ENCODE(list(numbers))[1:-1].decode() + "}"


def joined(texts: Iterable[str]) -> str:
    return SEPARATOR.join(texts)


_Columns = dict[str, str | bool]


def _streams(commits: Sequence[Commit], counts: Sequence[int]) -> _Columns:
    """Which stream each commit is of, and whether the commits follow on each other."""
    numbers: dict[str, int] = {}
    first: list[int] = []
    streams: list[int] = []
    left: list[int] = []
    chained = True
    for ((category, key), expected, *_), count in zip(commits, counts, strict=True):
        name = f"{category}-{key}"
        number = numbers.get(name)
        if number is None:
            number = numbers[name] = len(numbers) + 1
            first.append(expected)
            left.append(expected + count)
        else:
            chained = chained and left[number - 1] == expected
            left[number - 1] = expected + count
        streams.append(number)
    return {
        "streams": joined(numbers),
        "first": array_of(first),
        "stream": array_of(streams),
        "expected": array_of(commit.expected_version for commit in commits),
        "events": array_of(counts),
        "through": array_of(accumulate(counts)),
        "chained": chained,
    }


def _records(commits: Sequence[Commit]) -> _Columns:
    ids: dict[str, int] = {}
    recorded_by: list[int] = []
    command = [0] * len(commits)
    chained = True
    for number, (*_, record, check_only) in enumerate(commits, start=1):
        if record is None:
            continue
        if record.command_id in ids:
            chained = False
        else:
            ids[record.command_id] = len(ids) + 1
            recorded_by.append(0 if check_only else number)
        command[number - 1] = ids[record.command_id]
    return {
        "ids": joined(ids),
        "id_commit": array_of(recorded_by),
        "command": array_of(command),
        "fingerprint": joined(r"\x" + each.record.fingerprint.hex() if each.record else "" for each in commits),
        "chained": chained,
    }


def _events(commits: Sequence[Commit], counts: Sequence[int]) -> tuple[_Columns, str, str]:
    rows = [
        (of, version, commit.recorded_at_us, commit.metadata, *event)
        for of, (commit, count) in enumerate(zip(commits, counts, strict=True), start=1)
        if count
        for version, event in enumerate(commit.events, start=commit.expected_version + 1)
    ]
    of, versions, times, metadata, types, schemas, data = zip(*rows, strict=True) if rows else ((),) * 7
    columns: _Columns = {
        "of": array_of(of),
        "version": array_of(versions),
        "at": array_of(times),
        "type": joined(types),
        "schema": array_of(schemas),
    }
    return columns, b"\x1e".join(data).decode(), b"\x1e".join(metadata).decode()


# --- answers ---------------------------------------------------------------------------------------------------------


class _Refused(NamedTuple):
    """What is no plain Appended, by the number of the commit."""

    outcomes: Mapping[int, Conflict | Duplicate]
    done_at: Mapping[int, Position]


_NOBODY = _Refused({}, {})


def outcomes_of(
    calls: Sequence[Sequence[Commit]], before: int, refused: Mapping[str, Any] | None
) -> tuple[Sequence[Sequence[Outcome]], Position]:
    """The outcomes of the calls' commits, and the head after them."""
    told = _NOBODY if refused is None else _told(refused)
    position, number = before, 0
    outcomes: list[list[Outcome]] = []
    for commits in calls:
        answer: list[Outcome] = []
        for commit in commits:
            number += 1
            outcome = told.outcomes.get(number)
            if outcome is None:
                count = 0 if commit.check_only else len(commit.events)
                at = told.done_at.get(number)
                if at is None:
                    position += count
                    at = Position(position)
                outcome = Appended(commit.expected_version + count, at)
            answer.append(outcome)
        outcomes.append(answer)
    return outcomes, Position(position)


def _told(refused: Mapping[str, Any]) -> _Refused:
    outcomes: dict[int, Conflict | Duplicate] = {number: Conflict(actual) for number, actual in refused["conflicts"]}
    for number, command_id, digest, stream, version, position, count in refused["duplicates"]:
        record = CommandRecord(
            command_id, bytes.fromhex(digest), StreamId.parse(stream), version, Position(position), count
        )
        outcomes[number] = Duplicate(record)
    return _Refused(outcomes, dict(refused["done"]))
