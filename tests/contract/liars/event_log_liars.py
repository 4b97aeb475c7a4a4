"""Event logs that tell one lie each, under the contract. Each of these tests must fail: `test_event_log_liars.py`.

Every class names the promise that must catch it.
"""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import msgspec
import pytest

from twofold.messages import RawEvent
from twofold.ports import Appended, Commit, Conflict, Duplicate, EventLog, Outcome
from twofold.stores.memory.event_log import MemoryEventLog
from twofold.streams import Position, StreamId
from twofold.testing.event_log_contract import EventLogContract


class Liar(EventLogContract):
    log_class: ClassVar[type[MemoryEventLog]]
    caught_by: ClassVar[str]
    time_limit_s = 1.0

    @pytest.fixture
    def log(self) -> EventLog:
        return self.log_class()


class TestLosesOneEventOfACommit(Liar):
    caught_by = "test_a_commit_of_many_events_is_appended_whole"

    class log_class(MemoryEventLog):  # noqa: N801 - the liar of this test
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            kept = [each._replace(events=each.events[:-1]) if len(each.events) > 1 else each for each in commits]
            lost = [len(each.events) - len(less.events) for each, less in zip(commits, kept, strict=True)]
            outcomes = await super().append(kept)
            return [
                Appended(outcome.version + missing, Position(outcome.position + missing))
                if isinstance(outcome, Appended)
                else outcome
                for outcome, missing in zip(outcomes, lost, strict=True)
            ]


class TestLosesTheLastCommitOfALargeBatch(Liar):
    caught_by = "test_every_event_of_a_batch_is_appended"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            outcomes = list(await super().append(commits[:999]))
            return outcomes + [Appended(1, Position(1_000))] * (len(commits) - len(outcomes))


class TestAcceptsAStaleVersion(Liar):
    caught_by = "test_a_stale_expected_version_is_a_conflict_that_names_the_actual_one"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            outcomes: list[Outcome] = []
            for commit in commits:
                (outcome,) = await super().append([commit])
                if isinstance(outcome, Conflict) and outcome.actual_version > commit.expected_version:
                    (outcome,) = await super().append([commit._replace(expected_version=outcome.actual_version)])
                outcomes.append(outcome)
            return outcomes


class TestAcceptsAVersionAhead(Liar):
    caught_by = "test_an_expected_version_ahead_of_the_stream_is_a_conflict"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            versions = [len((await self.read_streams([(each.stream, 0)], 9_999))[0]) for each in commits]
            return await super().append(
                [
                    each._replace(expected_version=min(each.expected_version, version))
                    for each, version in zip(commits, versions, strict=True)
                ]
            )


class TestLeavesAGap(Liar):
    caught_by = "test_positions_are_dense_over_commits_batches_and_refusals"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            outcomes = await super().append(commits)
            if any(isinstance(outcome, Conflict) for outcome in outcomes):
                self._arrivals.reach(Position(self._arrivals.head + 1))
            return outcomes


class TestReturnsALaterEventFirst(Liar):
    caught_by = "test_readers_beside_many_writers_see_every_event_once_and_in_order"

    class log_class(MemoryEventLog):  # noqa: N801
        async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
            found = list(await super().read(after, limit))
            return [found[1], found[0], *found[2:]] if after > 400 and len(found) > 1 else found


class TestForgetsCommandIds(Liar):
    caught_by = "test_a_command_id_takes_effect_once_and_brings_back_the_first_answer"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            return await super().append([each._replace(record=None) for each in commits])


class TestForgetsCommandIdsWithinABatch(Liar):
    caught_by = "test_a_command_id_twice_in_a_batch_takes_effect_once"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            seen: set[str] = set()
            kept: list[Commit] = []
            for each in commits:
                twice = each.record is not None and each.record.command_id in seen
                kept.append(each._replace(record=None) if twice else each)
                seen |= {each.record.command_id} if each.record else set[str]()
            return await super().append(kept)


class TestComparesTheVersionFirst(Liar):
    caught_by = "test_a_command_id_is_looked_up_before_the_version_is_compared"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            outcomes = list(await super().append(commits))
            for index, (commit, outcome) in enumerate(zip(commits, outcomes, strict=True)):
                version = len((await self.read_streams([(commit.stream, 0)], 9_999))[0])
                if isinstance(outcome, Duplicate) and version != commit.expected_version:
                    outcomes[index] = Conflict(version)
            return outcomes


class TestForgetsThatACommitWasRefused(Liar):
    caught_by = "test_later_commits_of_the_same_stream_after_a_refused_one_are_conflicts"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            return [outcome for each in commits for outcome in await super(type(self), self).append([each])]


class TestRecordsAChecksCommandId(Liar):
    caught_by = "test_a_check_is_answered_like_a_commit_and_writes_nothing"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            return await super().append([each._replace(check_only=False) for each in commits])


class TestHangsUnderConcurrency(Liar):
    caught_by = "test_one_of_many_racing_writers_wins"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            outcomes = await super().append(commits)
            if isinstance(outcomes[0], Conflict):
                await asyncio.Event().wait()
            return outcomes


class TestNeverWakesAnyone(Liar):
    caught_by = "test_an_append_wakes_everyone_who_waits"

    class log_class(MemoryEventLog):  # noqa: N801
        async def wait(self, after: Position, timeout_s: float) -> bool:
            if await self.head() <= after:
                await asyncio.sleep(timeout_s)
            return await self.head() > after


class TestWakesOnlyOne(Liar):
    caught_by = "test_an_append_wakes_everyone_who_waits"

    class log_class(MemoryEventLog):  # noqa: N801
        def __init__(self) -> None:
            super().__init__()
            self._turn = asyncio.Lock()

        async def wait(self, after: Position, timeout_s: float) -> bool:
            async with self._turn:
                return await super().wait(Position(after + 2), timeout_s)


class TestLetsTwoRivalsWin(Liar):
    caught_by = "test_one_of_many_racing_writers_wins"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            (own,) = await self.read_streams([(commits[0].stream, 0)], 9_999)
            if len(own) != commits[0].expected_version:
                return await super().append(commits)
            await asyncio.sleep(0)
            (own,) = await self.read_streams([(commits[0].stream, 0)], 9_999)
            return await super().append([commits[0]._replace(expected_version=len(own)), *commits[1:]])


class TestTearsACommitWhenItsCallerIsCancelled(Liar):
    caught_by = "test_cancelling_the_caller_leaves_all_or_nothing_and_a_working_log"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            if len(commits[0].events) < 3:
                return await super().append(commits)
            first = commits[0]._replace(events=commits[0].events[:1], record=None)
            rest = commits[0]._replace(events=commits[0].events[1:], expected_version=first.expected_version + 1)
            await super().append([first])
            await asyncio.sleep(0.001)
            return await super().append([rest])


class TestTidiesJson(Liar):
    caught_by = "test_an_appended_event_comes_back_exactly"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            return await super().append(
                [
                    each._replace(
                        events=tuple(new._replace(data=msgspec.json.format(new.data, indent=-1)) for new in each.events)
                    )
                    for each in commits
                ]
            )


class TestMistakesStreamsThatDifferInCase(Liar):
    caught_by = "test_streams_of_similar_names_are_apart"

    class log_class(MemoryEventLog):  # noqa: N801
        async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
            return await super().append(
                [each._replace(stream=StreamId(each.stream.category, each.stream.key.lower())) for each in commits]
            )


class TestReadsBeyondTheLimit(Liar):
    caught_by = "test_streams_are_read_after_the_version_up_to_the_limit_each"

    class log_class(MemoryEventLog):  # noqa: N801
        async def read_streams(
            self, wanted: Sequence[tuple[StreamId, int]], limit: int
        ) -> Sequence[Sequence[RawEvent]]:
            return await super().read_streams(wanted, limit + 1)
