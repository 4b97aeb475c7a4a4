"""What every event log must keep, as tests to run over an adapter.

    class TestMyEventLog(EventLogContract):
        @pytest.fixture
        async def log(self, tmp_path):
            async with MyEventLog.open(tmp_path) as log:
                yield log

The log must be empty. Tests are coroutines (pytest with anyio). Needs pytest and hypothesis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold.messages import NewEvent, RawEvent
from twofold.ports import (
    Appended,
    CommandRecord,
    Commit,
    Conflict,
    Duplicate,
    EventLog,
    NewRecord,
    Outcome,
    Snapshot,
    Snapshots,
)
from twofold.streams import NO_STREAM, START, Position, StreamId

__all__ = ["EventLogContract", "SnapshotsContract"]

P = ParamSpec("P")
S = TypeVar("S", bound="_Contract")

AT = 1_700_000_000_123_456
A, B = StreamId("account", "a"), StreamId("account", "b")


class _Contract:
    time_limit_s = 20.0
    """For each test: an adapter that hangs fails."""


def promise(
    test: Callable[Concatenate[S, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, None]]:
    """A test of the contract, within its time limit."""

    @wraps(test)
    async def limited(self: S, *args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(self.time_limit_s):
            await test(self, *args, **kwargs)

    return limited


def event(number: int = 0) -> NewEvent:
    return NewEvent("Deposited", 1, b'{"amount":"%d"}' % number)


def commit(
    stream: StreamId,
    expected_version: int,
    *,
    events: int = 1,
    command_id: str | None = None,
    fingerprint: bytes = b"f",
) -> Commit:
    return Commit(
        stream,
        expected_version,
        tuple(event(number) for number in range(events)),
        b'{"command":"Deposit"}',
        AT,
        NewRecord(command_id, fingerprint) if command_id else None,
    )


def check(stream: StreamId, expected_version: int, command_id: str | None = None) -> Commit:
    """A commit that only asks what would become of it."""
    return commit(stream, expected_version, events=0, command_id=command_id)._replace(check_only=True)


async def recorded(log: EventLog, command_ids: Sequence[str]) -> Mapping[str, CommandRecord]:
    """The records of those of the command ids that are known, which only an append tells."""
    outcomes = await log.append([check(StreamId("nobody", "n"), 1, command_id) for command_id in command_ids])
    records = [outcome.record for outcome in outcomes if isinstance(outcome, Duplicate)]
    return {record.command_id: record for record in records}


async def everything(log: EventLog, page: int = 1_000) -> Sequence[RawEvent]:
    """The whole log, by pages of whatever size the log likes to give."""
    events: list[RawEvent] = []
    while found := await log.read(Position(len(events)), page):
        events += found
    return events


def dense(numbers: Iterable[int], after: int = 0) -> bool:
    """Whether the numbers are after + 1, after + 2 … without a gap."""
    numbers = list(numbers)
    return numbers == list(range(after + 1, after + 1 + len(numbers)))


@pytest.mark.anyio
class EventLogContract(_Contract):
    """Subclass it and supply the fixture `log`, an empty event log."""

    # --- what is appended is what is read ---

    @promise
    async def test_an_empty_log_has_head_0_and_nothing_to_read(self, log: EventLog) -> None:
        assert await log.head() == START
        assert not await log.read(START, 10)
        assert [list(events) for events in await log.read_streams([(A, 0)], 10)] == [[]]
        assert not await recorded(log, ["c"])

    @promise
    async def test_an_appended_event_comes_back_exactly(self, log: EventLog) -> None:
        data = (
            '{ "text":"Grüße, 世界 \U0001f600 \\u001e \\"quoted\\"\\n", "nested":{"list":[1,2.50,null,true]}}'.encode()
        )
        stream = StreamId("account", "Zoë - 1/2 ñ'\"")
        await log.append([Commit(stream, 0, (NewEvent("Größe-geändert", 7, data),), b'{"actor":"\xc3\xa9"}', AT)])
        expected = RawEvent(Position(1), str(stream), 1, "Größe-geändert", 7, data, b'{"actor":"\xc3\xa9"}', AT)
        (from_log,) = await log.read(START, 10)
        ((from_stream,),) = await log.read_streams([(stream, 0)], 10)
        assert from_log == expected
        assert from_stream == expected
        assert isinstance(from_log, RawEvent)
        assert type(from_log.data) is bytes

    @promise
    async def test_an_event_of_a_megabyte_comes_back_exactly(self, log: EventLog) -> None:
        data = b'{"text":"%s"}' % ("ÿ" * 500_000).encode()
        await log.append([Commit(A, 0, (NewEvent("Large", 1, data),) * 3, b"{}", AT)])
        assert [each.data for each in await everything(log)] == [data] * 3
        (events,) = await log.read_streams([(A, 0)], 10)
        assert [each.data for each in events] == [data] * 3

    @promise
    async def test_a_commit_of_many_events_is_appended_whole(self, log: EventLog) -> None:
        assert await log.append([commit(A, 0, events=3_000)]) == [Appended(3_000, Position(3_000))]
        (events,) = await log.read_streams([(A, 0)], 5_000)
        assert [each.data for each in events] == [event(number).data for number in range(3_000)]
        assert dense(each.version for each in events)

    @promise
    async def test_every_event_of_a_batch_is_appended(self, log: EventLog) -> None:
        streams = [StreamId("account", str(number)) for number in range(1_000)]
        outcomes = await log.append([commit(stream, 0, command_id=f"c-{stream.key}") for stream in streams])
        assert outcomes == [Appended(1, Position(number)) for number in range(1, 1_001)]
        assert [each.stream for each in await everything(log)] == [str(stream) for stream in streams]
        assert len(await recorded(log, [f"c-{stream.key}" for stream in streams])) == 1_000

    @promise
    async def test_an_empty_batch_is_legal(self, log: EventLog) -> None:
        assert list(await log.append([])) == []

    @promise
    async def test_streams_of_similar_names_are_apart(self, log: EventLog) -> None:
        names = [
            ("account", "a"),
            ("account", "A"),
            ("account", "a "),
            ("accounts", "a"),
            ("account", "a-1"),
            ("a", "a"),
        ]
        streams = [StreamId(*name) for name in names]
        await log.append([commit(stream, 0, events=number) for number, stream in enumerate(streams, start=1)])
        found = await log.read_streams([(stream, 0) for stream in streams], 100)
        assert [len(events) for events in found] == [1, 2, 3, 4, 5, 6]
        assert all(one.stream == str(stream) for stream, events in zip(streams, found, strict=True) for one in events)

    # --- positions and versions ---

    @promise
    async def test_positions_are_dense_over_commits_batches_and_refusals(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=2), commit(B, 5), commit(B, 0, events=0), commit(B, 0)])
        await log.append([commit(A, 1), commit(A, 2)])
        await log.append([commit(A, 2, events=3), commit(B, 0)])
        events = await everything(log)
        assert dense(each.position for each in events)
        assert await log.head() == len(events)

    @promise
    async def test_versions_of_a_stream_are_dense(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=2), commit(B, 0), commit(A, 2)])
        await log.append([commit(A, 3, events=2)])
        streams = await log.read_streams([(A, 0), (B, 0)], 10)
        assert [[each.version for each in events] for events in streams] == [[1, 2, 3, 4, 5], [1]]

    @promise
    async def test_appended_names_the_commits_last_version_and_position(self, log: EventLog) -> None:
        assert await log.append([commit(A, 0, events=2), commit(B, 0, events=3)]) == [
            Appended(2, Position(2)),
            Appended(3, Position(5)),
        ]
        assert await log.append([commit(A, 2)]) == [Appended(3, Position(6))]

    @promise
    async def test_each_commit_meets_the_stream_as_those_before_it_in_the_batch_left_it(self, log: EventLog) -> None:
        outcomes = await log.append([commit(A, 0, events=2), commit(A, 2), commit(A, 3, events=2)])
        assert outcomes == [Appended(2, Position(2)), Appended(3, Position(3)), Appended(5, Position(5))]

    # --- refusals ---

    @promise
    async def test_a_stale_expected_version_is_a_conflict_that_names_the_actual_one(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=3)])
        assert await log.append([commit(A, 2)]) == [Conflict(3)]
        assert await log.append([commit(A, NO_STREAM)]) == [Conflict(3)]
        assert await log.append([commit(A, NO_STREAM, events=0)]) == [Conflict(3)]

    @promise
    async def test_an_expected_version_ahead_of_the_stream_is_a_conflict(self, log: EventLog) -> None:
        assert await log.append([commit(A, 1)]) == [Conflict(0)]
        await log.append([commit(A, 0)])
        assert await log.append([commit(A, 2)]) == [Conflict(1)]

    @promise
    async def test_a_refused_commit_writes_nothing(self, log: EventLog) -> None:
        await log.append([commit(A, 0, command_id="first")])
        await log.append([commit(A, 0, events=2, command_id="conflict"), commit(B, 0, events=2, command_id="first")])
        assert [each.stream for each in await everything(log)] == [str(A)]
        assert await log.head() == 1
        assert set(await recorded(log, ["first", "conflict"])) == {"first"}

    @promise
    async def test_one_conflict_does_not_fail_its_neighbours(self, log: EventLog) -> None:
        await log.append([commit(A, 0)])
        third = StreamId("account", "c")
        outcomes = await log.append([commit(B, 0), commit(A, 0), commit(third, 0)])
        assert outcomes == [Appended(1, Position(2)), Conflict(1), Appended(1, Position(3))]

    @promise
    async def test_later_commits_of_the_same_stream_after_a_refused_one_are_conflicts(self, log: EventLog) -> None:
        await log.append([commit(A, 0)])
        batch = [commit(A, 0), commit(A, 1), commit(A, 1, events=0), commit(B, 0)]
        assert await log.append(batch) == [Conflict(1), Conflict(1), Conflict(1), Appended(1, Position(2))]
        assert await log.append([commit(A, 1)]) == [Appended(2, Position(3))]

    @promise
    async def test_later_commits_of_the_same_stream_after_a_duplicate_are_conflicts(self, log: EventLog) -> None:
        await log.append([commit(A, 0, command_id="c")])
        again, later = await log.append([commit(A, 1, command_id="c"), commit(A, 1)])
        assert isinstance(again, Duplicate)
        assert later == Conflict(1)

    @promise
    async def test_a_refused_commit_without_events_refuses_no_other(self, log: EventLog) -> None:
        assert await log.append([commit(A, 3, events=0), commit(A, 0)]) == [Conflict(0), Appended(1, Position(1))]

    # --- command ids ---

    @promise
    async def test_a_command_id_takes_effect_once_and_brings_back_the_first_answer(self, log: EventLog) -> None:
        await log.append([commit(B, 0)])
        await log.append([commit(A, 0, events=2, command_id="c", fingerprint=b"\x00\xff first")])
        record = CommandRecord("c", b"\x00\xff first", A, 2, Position(3), 2)
        await log.append([commit(A, 2, command_id="later")])
        assert await log.append([commit(A, 3, command_id="c", fingerprint=b"other")]) == [Duplicate(record)]
        assert await log.head() == 4

    @promise
    async def test_a_command_id_is_looked_up_before_the_version_is_compared(self, log: EventLog) -> None:
        await log.append([commit(A, 0, command_id="c")])
        (outcome,) = await log.append([commit(A, 0, command_id="c")])
        assert isinstance(outcome, Duplicate)
        (outcome,) = await log.append([commit(B, 17, command_id="c")])
        assert isinstance(outcome, Duplicate)

    @promise
    async def test_a_command_id_twice_in_a_batch_takes_effect_once(self, log: EventLog) -> None:
        first, second = await log.append([commit(A, 0, command_id="c"), commit(B, 0, command_id="c")])
        assert first == Appended(1, Position(1))
        assert second == Duplicate(CommandRecord("c", b"f", A, 1, Position(1), 1))
        assert await log.head() == 1

    @promise
    async def test_a_refused_command_id_may_be_used_again(self, log: EventLog) -> None:
        assert await log.append([commit(A, 5, command_id="c")]) == [Conflict(0)]
        assert await log.append([commit(A, 0, command_id="c")]) == [Appended(1, Position(1))]

    @promise
    async def test_a_commit_without_events_is_recorded_under_its_command_id(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=2)])
        assert await log.append([commit(A, 2, events=0, command_id="c")]) == [Appended(2, Position(2))]
        record = CommandRecord("c", b"f", A, 2, Position(2), 0)
        assert await recorded(log, ["c"]) == {"c": record}
        assert await log.append([commit(A, 2, events=0, command_id="c")]) == [Duplicate(record)]
        assert await log.head() == 2

    @promise
    async def test_a_commit_without_events_is_at_the_position_of_the_head_that_it_meets(self, log: EventLog) -> None:
        outcomes = await log.append([commit(A, 0, events=2), commit(B, 0, events=0, command_id="c"), commit(B, 0)])
        assert outcomes == [Appended(2, Position(2)), Appended(0, Position(2)), Appended(1, Position(3))]

    @promise
    async def test_known_command_ids_are_found_and_others_are_left_out(self, log: EventLog) -> None:
        await log.append([commit(A, 0, command_id="c-1"), commit(A, 1, events=2, command_id="ü 2")])
        assert await recorded(log, ["c-1", "C-1", "ü 2", "c"]) == {
            "c-1": CommandRecord("c-1", b"f", A, 1, Position(1), 1),
            "ü 2": CommandRecord("ü 2", b"f", A, 3, Position(3), 2),
        }

    # --- checks ---

    @promise
    async def test_a_check_is_answered_like_a_commit_and_writes_nothing(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=2, command_id="c")])
        record = CommandRecord("c", b"f", A, 2, Position(2), 2)
        outcomes = await log.append(
            [check(A, 2, "d"), check(A, 2), check(A, 1, "d"), check(A, 1, "c"), check(B, 0, "d")]
        )
        at_head = Appended(2, Position(2))
        assert outcomes == [at_head, at_head, Conflict(2), Duplicate(record), Appended(0, Position(2))]
        assert await log.append([commit(A, 2, command_id="d")]) == [Appended(3, Position(3))]

    @promise
    async def test_a_check_meets_the_stream_as_the_commits_before_it_in_the_batch_left_it(self, log: EventLog) -> None:
        outcomes = await log.append(
            [check(A, 0), commit(A, 0, command_id="c"), check(A, 1), check(A, 0), check(A, 9, "c"), commit(A, 1)]
        )
        record = CommandRecord("c", b"f", A, 1, Position(1), 1)
        first, second = Appended(1, Position(1)), Appended(2, Position(2))
        assert outcomes == [Appended(0, START), first, first, Conflict(1), Duplicate(record), second]

    # --- reading ---

    @promise
    async def test_reading_starts_after_the_position_and_ends_at_the_limit(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=10)])
        assert [each.position for each in await log.read(Position(3), 4)] == [4, 5, 6, 7]
        assert [each.position for each in await log.read(Position(8), 4)] == [9, 10]
        assert not await log.read(Position(10), 4)
        assert not await log.read(Position(99), 4)

    @promise
    async def test_streams_are_read_after_the_version_up_to_the_limit_each(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=5), commit(B, 0, events=3)])
        unknown = StreamId("account", "unknown")
        found = await log.read_streams([(B, 1), (unknown, 0), (A, 0), (A, 4), (A, 5), (B, 0)], 3)
        assert [[each.version for each in events] for events in found] == [[2, 3], [], [1, 2, 3], [5], [], [1, 2, 3]]
        assert {each.stream for each in found[0]} == {str(B)}
        assert list(await log.read_streams([], 3)) == []

    @promise
    async def test_an_appended_event_can_be_read_at_once(self, log: EventLog) -> None:
        for number in range(50):
            await log.append([commit(A, number)])
            (from_log,) = await log.read(Position(number), 10)
            ((from_stream,),) = await log.read_streams([(A, number)], 10)
            assert from_log == from_stream
            assert await log.head() == number + 1

    # --- races ---

    @promise
    async def test_one_of_many_racing_writers_wins(self, log: EventLog) -> None:
        for version in range(10):
            rivals = [log.append([commit(A, version, command_id=f"{version}-{rival}")]) for rival in range(20)]
            outcomes = [outcome for (outcome,) in await asyncio.gather(*rivals)]
            assert outcomes.count(Appended(version + 1, Position(version + 1))) == 1
            assert outcomes.count(Conflict(version + 1)) == 19
        assert await log.head() == 10

    @promise
    async def test_one_of_many_racing_repetitions_of_a_command_takes_effect(self, log: EventLog) -> None:
        repetitions = [log.append([commit(StreamId("s", str(n)), 0, command_id="c")]) for n in range(20)]
        outcomes = [outcome for (outcome,) in await asyncio.gather(*repetitions)]
        assert [type(outcome) for outcome in outcomes].count(Appended) == 1
        assert [type(outcome) for outcome in outcomes].count(Duplicate) == 19
        assert await log.head() == 1

    @promise
    async def test_readers_beside_many_writers_see_every_event_once_and_in_order(self, log: EventLog) -> None:
        writers, appends = 8, 40
        total = writers * appends * 2

        async def write(writer: int) -> None:
            stream = StreamId("account", str(writer))
            for number in range(appends):
                assert isinstance((await log.append([commit(stream, number * 2, events=2)]))[0], Appended)

        async def follow(page: int) -> Sequence[int]:
            seen: list[int] = []
            while len(seen) < total:
                await log.wait(Position(len(seen)), 1.0)
                seen += [each.position for each in await log.read(Position(len(seen)), page)]
            return seen

        following = [asyncio.create_task(follow(page)) for page in (7, 1_000)]
        await asyncio.gather(*(write(writer) for writer in range(writers)))
        few, many = await asyncio.gather(*following)
        assert dense(few)
        assert few == many

    @promise
    async def test_cancelling_the_caller_leaves_all_or_nothing_and_a_working_log(self, log: EventLog) -> None:
        for number in range(20):
            stream = StreamId("account", str(number))
            task = asyncio.create_task(_append(log, [commit(stream, 0, events=3, command_id=f"c-{number}")]))
            await asyncio.sleep(0.0002 * number)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await log.append([commit(A, 0)])
        before: Mapping[str, CommandRecord] | None = None
        streams: Sequence[Sequence[RawEvent]] = ()
        while (known := await recorded(log, [f"c-{number}" for number in range(20)])) != before:
            before = known  # the last ones may still be under way, with nobody who waits for them
            streams = await log.read_streams([(StreamId("account", str(number)), 0) for number in range(20)], 10)
        assert [len(events) for events in streams] == [3 if f"c-{n}" in known else 0 for n in range(20)]
        assert dense(each.position for each in await everything(log))

    # --- waiting ---

    @promise
    async def test_waiting_ends_at_once_when_there_is_something_to_read(self, log: EventLog) -> None:
        await log.append([commit(A, 0, events=2)])
        assert await log.wait(Position(1), 60)

    @promise
    async def test_waiting_ends_when_the_time_is_over(self, log: EventLog) -> None:
        await log.append([commit(A, 0)])
        assert not await log.wait(Position(1), 0.02)
        assert not await log.wait(Position(1), 0)

    @promise
    async def test_an_append_wakes_everyone_who_waits(self, log: EventLog) -> None:
        waiting = [asyncio.create_task(_wait(log, START, 60)) for _ in range(5)]
        further = asyncio.create_task(_wait(log, Position(2), 60))
        await asyncio.sleep(0)
        await log.append([commit(A, 0, events=2)])
        assert all(await asyncio.gather(*waiting))
        assert await log.read(START, 1)
        await log.append([commit(A, 2)])
        assert await further

    # --- the whole against a model ---

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(batches=st.deferred(lambda: _batches))
    @promise
    async def test_any_batches_have_the_outcomes_of_the_model(self, log: EventLog, batches: _Batches) -> None:
        model = _Model(uuid4().hex, await log.head())
        for wishes in batches:
            commits = [model.commit(wish) for wish in wishes]
            assert list(await log.append(commits)) == model.append(commits)
        assert await log.head() == model.head
        read = await log.read_streams([(stream, 0) for stream in model.streams], 1_000)
        assert [[each.data for each in events] for events in read] == list(model.streams.values())
        assert await recorded(log, [*model.records, "unknown"]) == model.records


async def _append(log: EventLog, commits: Sequence[Commit]) -> Sequence[Outcome]:
    return await log.append(commits)


async def _wait(log: EventLog, after: Position, timeout_s: float) -> bool:
    return await log.wait(after, timeout_s)


class _Wish(NamedTuple):
    """A commit to be: of stream 0 to 2, at an expected version relative to the stream's as the batch begins."""

    stream: int
    offset: int
    events: int
    command: int | None
    check_only: bool


_Batches = list[list[_Wish]]
_wish = st.builds(
    _Wish,
    stream=st.integers(0, 2),
    offset=st.sampled_from([0, 0, 0, 1, 1, 2, 3, -1]),
    events=st.integers(0, 3),
    command=st.none() | st.integers(0, 7),
    check_only=st.sampled_from([False, False, False, True]),
)
_batches: st.SearchStrategy[_Batches] = st.lists(st.lists(_wish, min_size=1, max_size=8), min_size=1, max_size=5)


class _Model:
    """The contract in the plainest words: streams are lists of data, a batch is a loop."""

    def __init__(self, name: str, head: Position) -> None:
        self.name, self.head = name, head
        self.streams: dict[StreamId, list[bytes]] = {}
        self.records: dict[str, CommandRecord] = {}
        self._made = 0

    def commit(self, wish: _Wish) -> Commit:
        stream = StreamId("model", f"{self.name}-{wish.stream}")
        events = self.streams.setdefault(stream, [])
        self._made += 1
        command_id = None if wish.command is None else f"{self.name}-{wish.command}"
        made = tuple(event(self._made * 10 + number) for number in range(0 if wish.check_only else wish.events))
        record = NewRecord(command_id, b"%d" % self._made) if command_id else None
        return Commit(stream, max(0, len(events) + wish.offset), made, b"{}", AT, record, wish.check_only)

    def append(self, commits: Sequence[Commit]) -> list[Outcome]:
        refused: set[StreamId] = set()
        return [self._outcome(each, refused) for each in commits]

    def _outcome(self, commit: Commit, refused: set[StreamId]) -> Outcome:
        events = self.streams[commit.stream]
        if commit.record and commit.record.command_id in self.records:
            refused |= {commit.stream} if commit.events else set[Any]()
            return Duplicate(self.records[commit.record.command_id])
        if commit.stream in refused or len(events) != commit.expected_version:
            refused |= {commit.stream} if commit.events else set[Any]()
            return Conflict(len(events))
        if commit.check_only:
            return Appended(len(events), self.head)
        events += [each.data for each in commit.events]
        self.head = Position(self.head + len(commit.events))
        if commit.record:
            record = CommandRecord(*commit.record, commit.stream, len(events), self.head, len(commit.events))
            self.records[commit.record.command_id] = record
        return Appended(len(events), self.head)


@pytest.mark.anyio
class SnapshotsContract(_Contract):
    """Subclass it and supply the fixture `snapshots`, an empty store of snapshots."""

    @promise
    async def test_snapshots_come_back_exactly_and_others_are_left_out(self, snapshots: Snapshots) -> None:
        first = Snapshot(17, "fields-1", '{"text":"Grüße \\u001e"}'.encode())
        await snapshots.save_snapshots({A: first, B: Snapshot(1, "", b"{}")})
        assert await snapshots.load_snapshots([A, StreamId("account", "c")]) == {A: first}
        assert await snapshots.load_snapshots([A, B]) == {A: first, B: Snapshot(1, "", b"{}")}
        assert await snapshots.load_snapshots([]) == {}

    @promise
    async def test_a_snapshot_takes_the_place_of_the_former_one(self, snapshots: Snapshots) -> None:
        await snapshots.save_snapshots({A: Snapshot(1, "old", b"1"), B: Snapshot(1, "old", b"1")})
        await snapshots.save_snapshots({A: Snapshot(2, "new", b"2")})
        assert await snapshots.load_snapshots([A, B]) == {A: Snapshot(2, "new", b"2"), B: Snapshot(1, "old", b"1")}

    @promise
    async def test_no_snapshots_may_be_saved(self, snapshots: Snapshots) -> None:
        await snapshots.save_snapshots({})
        assert await snapshots.load_snapshots([A]) == {}
