from collections.abc import Sequence

from tests.unit.runtime.parts import Log, Seen, Stocked, commit, idle, until
from twofold.errors import StoreUnavailableError, TwofoldError, UnknownOutcomeError
from twofold.ports import Appended, Commit, Outcome
from twofold.runtime.appender import CONCURRENT_APPENDS, Appender
from twofold.streams import Position


class Work:
    """Commits that wait for an append, one append each, and what became of them."""

    def __init__(self, appender: Appender, commits: Sequence[Commit]) -> None:
        self.appender, self.left = appender, list(commits)
        self.outcomes: list[Sequence[Outcome] | TwofoldError] = []
        self.started = 0

    def start(self) -> None:
        self.started += 1
        if self.left:
            self.appender.append([self.left.pop(0)], self.settle)
            self.appender.schedule(self.start)

    def settle(self, outcomes: Sequence[Outcome] | TwofoldError) -> None:
        self.outcomes.append(outcomes)
        self.appender.schedule(self.start)


def commits(count: int) -> list[Commit]:
    return [commit(Stocked(sku=str(number), units=1), sku=str(number)) for number in range(count)]


async def test_at_most_two_appends_are_under_way_at_once() -> None:
    log = Log()
    work = Work(Appender(log, Seen()), commits(10))
    log.hold()
    work.appender.schedule(work.start)
    await idle()
    assert len(log.batches) == CONCURRENT_APPENDS
    log.release()
    await until(lambda: len(work.outcomes) == 10)
    assert log.most_at_once == CONCURRENT_APPENDS


async def test_work_is_collected_once_however_often_it_is_announced() -> None:
    work = Work(Appender(Log(), Seen()), [])
    for _ in range(10):
        work.appender.schedule(work.start)
    await idle()
    assert work.started == 1


async def test_every_append_is_settled_with_its_own_outcomes() -> None:
    log, probe = Log(), Seen()
    work = Work(Appender(log, probe), commits(3))
    work.appender.schedule(work.start)
    await until(lambda: len(work.outcomes) == 3)
    assert work.outcomes == [[Appended(1, Position(position))] for position in (1, 2, 3)]
    assert probe.appends == [(1, 1)] * 3


async def test_an_append_that_fails_is_settled_with_its_error() -> None:
    log = Log()
    fault = UnknownOutcomeError("event log", "power cut")
    log.faults.extend([fault, OSError(28, "No space left on device")])
    work = Work(Appender(log, Seen()), commits(3))
    work.appender.schedule(work.start)
    await until(lambda: len(work.outcomes) == 3)
    known, foreign, done = work.outcomes
    assert known is fault
    assert isinstance(foreign, StoreUnavailableError)
    assert "No space left" in str(foreign)
    assert done == [Appended(1, Position(1))]


async def test_it_knows_how_many_appends_have_not_been_settled() -> None:
    log = Log()
    work = Work(Appender(log, Seen()), commits(3))
    log.hold()
    work.appender.schedule(work.start)
    await until(lambda: len(log.batches) == 2)
    assert work.appender.under_way == 2
    log.release()
    await until(lambda: len(work.outcomes) == 3)
    assert work.appender.under_way == 0
