"""The limit on what is at work at once. Load is simulated in a time of its own, so that a minute of it takes a second
and every run is the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from twofold.errors import OverloadedError
from twofold.runtime.concurrency import ConcurrencyLimit, Load
from twofold.runtime.gate import Gate


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer instead of waiting for it."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # pyright: ignore[reportAttributeAccessIssue]
            self._now = max(self._now, self._scheduled[0].when())  # pyright: ignore[reportAttributeAccessIssue]
        super()._run_once()  # pyright: ignore[reportAttributeAccessIssue]


def simulated(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(work)


def now() -> float:
    return asyncio.get_running_loop().time()


Serve = Callable[[], Awaitable[None]]


@asynccontextmanager
async def workers(count: int, seconds: float) -> AsyncGenerator[Serve]:
    """A store with so many readers: calls take turns, and each takes a random time of this mean."""
    free, chance = asyncio.Semaphore(count), random.Random(7)

    async def serve() -> None:
        async with free:
            await asyncio.sleep(chance.expovariate(1 / seconds))

    yield serve


@asynccontextmanager
async def groups(append_s: float, each_s: float) -> AsyncGenerator[Serve]:
    """An event log with group commit: what has come together is appended together, at most 256 at a time."""
    queue: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def append() -> None:
        while True:
            group = [await queue.get()]
            while not queue.empty() and len(group) < 256:
                group.append(queue.get_nowait())
            await asyncio.sleep(append_s + each_s * len(group))
            for future in group:
                future.set_result(None)

    async def serve() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await queue.put(future)
        await future

    task = asyncio.create_task(append())
    yield serve
    task.cancel()


@dataclass
class Clients:
    """Send at a rate, whatever becomes of it: `answered` has seconds, `shed` counts."""

    limit: ConcurrencyLimit
    serve: Serve
    answered: list[float] = field(default_factory=list[float])
    shed: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(5))

    async def send(self, rate: float, seconds: float) -> Clients:
        """At this rate for so long; returns what became of these alone."""
        these = Clients(self.limit, self.serve)
        end, sent = now() + seconds, set[asyncio.Task[None]]()
        while now() < end:
            await asyncio.sleep(self.chance.expovariate(rate))
            sent.add(asyncio.create_task(these._one()))
        await asyncio.wait(sent)
        return these

    async def _one(self) -> None:
        came = now()
        try:
            if not self.limit.take():
                await self.limit.turn()
        except OverloadedError:
            self.shed += 1
            return
        began = now()
        try:
            await self.serve()
        finally:
            self.limit.leave("Ask", began, now())
        self.answered.append(now() - came)

    def slowest_of(self, share: float) -> float:
        return sorted(self.answered)[int(len(self.answered) * share)]


def queries(**options: Any) -> ConcurrencyLimit:
    given: dict[str, Any] = {
        "least": 8, "start": 32, "most": 2_000, "delay_s": 0.1, "wait_s": 0.2, "newest_first": True
    }  # fmt: skip
    return ConcurrencyLimit("queries", **{**given, **options})


def commands(**options: Any) -> ConcurrencyLimit:
    given: dict[str, Any] = {"least": 64, "start": 1_000, "most": 10_000, "delay_s": 0.1, "wait_s": 0.5}
    return ConcurrencyLimit("commands", **{**given, **options})


# --- what it finds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("readers", "seconds"), [(4, 0.005), (4, 0.05), (32, 0.05)])
def test_three_times_too_much_is_shed_and_the_rest_answered_soon_at_full_speed(readers: int, seconds: float) -> None:
    async def scenario() -> None:
        saturation = readers / seconds
        async with workers(readers, seconds) as serve:
            clients = Clients(queries(), serve)
            await clients.send(saturation / 4, 5)
            await clients.send(3 * saturation, 5)  # it has found its limit by then
            load = await clients.send(3 * saturation, 10)
            assert len(load.answered) >= 0.85 * saturation * 10
            assert load.slowest_of(0.5) < 0.3 + seconds
            assert load.slowest_of(0.99) < 0.5 + 6 * seconds

    simulated(scenario())


def test_without_adapting_the_same_load_waits_for_seconds() -> None:
    async def scenario() -> None:
        async with workers(4, 0.05) as serve:
            clients = Clients(queries(adaptive=False, most=1_000), serve)
            load = await clients.send(240, 10)
            assert load.slowest_of(0.5) > 2

    simulated(scenario())


def test_a_service_that_starts_into_overload_finds_its_limit_all_the_same() -> None:
    async def scenario() -> None:
        async with workers(4, 0.05) as serve:
            clients = Clients(queries(), serve)
            await clients.send(240, 5)
            load = await clients.send(240, 10)
            assert load.slowest_of(0.5) < 0.4
            assert load.shed > load.answered.__len__()

    simulated(scenario())


def test_after_the_overload_nothing_is_shed() -> None:
    async def scenario() -> None:
        async with workers(4, 0.005) as serve:
            clients = Clients(queries(), serve)
            await clients.send(2_400, 10)
            await clients.send(400, 1)
            after = await clients.send(400, 10)
            assert (after.shed, after.slowest_of(0.99) < 0.1) == (0, True)

    simulated(scenario())


def test_long_queries_that_do_not_wait_for_each_other_are_left_alone() -> None:
    """What takes long by itself is not taken for what is held up."""

    async def scenario() -> None:
        async with workers(64, 0.5) as serve:
            load = await Clients(queries(), serve).send(80, 30)
            assert load.shed <= 0.02 * len(load.answered)

    simulated(scenario())


def test_group_commit_is_not_taken_for_a_queue() -> None:
    """A large append takes longer than a small one, and does more: cutting it down would be slower, not quicker."""

    async def scenario() -> None:
        for append_s, rate in ((0.001, 15_000.0), (0.03, 6_000.0)):
            async with groups(append_s, 0.00002) as serve:
                load = await Clients(commands(), serve).send(rate, 3)
                assert load.shed == 0
                assert load.slowest_of(0.99) < 4 * append_s + 0.01

    simulated(scenario())


def test_commands_that_take_long_themselves_are_shed_before_they_wait_for_a_second() -> None:
    async def scenario() -> None:
        async with groups(0.005, 0.001) as serve:
            clients = Clients(commands(), serve)
            await clients.send(3_000, 5)
            load = await clients.send(3_000, 5)
            assert load.slowest_of(0.99) < 1
            assert len(load.answered) > 0.8 * 960 * 5

    simulated(scenario())


def test_what_matters_less_is_shed_for_what_matters_more() -> None:
    """Both share one processor: the queries press, the commands are held up, and only queries are shed."""

    async def scenario() -> None:
        async with workers(1, 0.002) as serve:
            asked, sent = Clients(queries(delay_s=10.0), serve), Clients(commands(), serve)
            sent.limit.gives_way = asked.limit
            await asyncio.gather(asked.send(1_000, 5), sent.send(150, 5))
            answers, done = await asyncio.gather(asked.send(1_000, 10), sent.send(150, 10))
            assert done.shed == 0
            assert done.slowest_of(0.99) < 1
            assert answers.shed > len(answers.answered) > 0
            alone = Clients(queries(delay_s=10.0), serve)
            assert (await alone.send(1_000, 10)).slowest_of(0.5) > done.slowest_of(0.5)

    simulated(scenario())


# --- waiting ---------------------------------------------------------------------------------------------------------


def full(**options: Any) -> ConcurrencyLimit:
    """With one inside, and room for no other."""
    limit = queries(start=1, most=1, **options)
    assert limit.take()
    assert not limit.take()
    return limit


def leave(limit: ConcurrencyLimit) -> None:
    limit.leave("Ask", now(), now())


@pytest.mark.parametrize(("newest_first", "order"), [(True, [2, 1, 0]), (False, [0, 1, 2])])
def test_who_waits_is_let_in_when_another_leaves(newest_first: bool, order: list[int]) -> None:
    async def scenario() -> None:
        limit, came = full(newest_first=newest_first), list[int]()

        async def wait(number: int) -> None:
            await limit.turn()
            came.append(number)

        waiting = [asyncio.create_task(wait(number)) for number in range(3)]
        await asyncio.sleep(0)
        assert (limit.inside, limit.waiting) == (1, 3)
        for _ in range(3):
            leave(limit)
            await asyncio.sleep(0)
            assert limit.inside == 1
        await asyncio.gather(*waiting)
        assert came == order

    simulated(scenario())


def test_who_waits_for_too_long_is_refused_and_counted() -> None:
    async def scenario() -> None:
        limit, began = full(), now()
        with pytest.raises(OverloadedError, match=r"^1 queries are at work, and none was done within 0\.2 seconds"):
            await limit.turn()
        assert 0.2 <= now() - began <= 0.26
        assert limit.shed == {"wait": 1, "deadline": 0}
        assert Load.of(Gate("queries", 1), limit) == Load(1, 1, 0, {"full": 0, "wait": 1, "deadline": 0})

    simulated(scenario())


def test_who_has_less_time_than_we_have_patience_is_refused_when_it_is_over() -> None:
    async def scenario() -> None:
        limit, began = full(), now()
        with pytest.raises(TimeoutError):
            await limit.turn(0.05)
        assert 0.05 <= now() - began <= 0.1
        assert limit.shed == {"wait": 0, "deadline": 1}

    simulated(scenario())


def test_a_place_goes_to_nobody_whose_time_is_over_or_who_has_left() -> None:
    async def scenario() -> None:
        limit = full(newest_first=False)
        late, gone, there = (asyncio.create_task(limit.turn(seconds)) for seconds in (0.01, 0.19, 0.19))
        await asyncio.sleep(0.02)
        gone.cancel()
        leave(limit)
        await there
        assert (limit.inside, limit.waiting) == (1, 0)
        with pytest.raises(TimeoutError):
            await late

    simulated(scenario())


def test_who_leaves_at_the_moment_of_being_let_in_gives_the_place_back() -> None:
    async def scenario() -> None:
        limit = full()
        gone, there = asyncio.create_task(limit.turn()), asyncio.create_task(limit.turn())
        await asyncio.sleep(0)
        leave(limit)
        there.cancel()  # the newest, which has just been let in
        await gone
        assert (limit.inside, there.cancelled()) == (1, True)

    simulated(scenario())
