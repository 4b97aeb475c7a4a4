import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import Buyers, Product, Sales, SalesOf, Seen, Store, idle, leased, sales_of, until
from twofold import Application, NotYetConsistentError, Query, Settings, View, answer
from twofold.errors import (
    HandlerFailedError,
    InvalidInputError,
    OverloadedError,
    QueryTimeoutError,
    ReadModelNotReadyError,
    RefusedError,
    StoppingError,
    UnknownMessageError,
)
from twofold.ports import Fold
from twofold.read_model import ReadModel
from twofold.runtime.progress import Progress
from twofold.runtime.query_bus import QueryBus
from twofold.streams import Position


class Both(Query[int]):
    sku: str
    buyer: str


class Nothing(Query[int]): ...


class Failing(Query[int]):
    how: str = "bug"


class Slow(Query[int]): ...


class Listed(Query[list[Sales]]):
    start_after: str | None = None


class Counted(Query[int]):
    units: int


class Found(Query[list[Sales]]):
    text: str


@answer
async def both(query: Both, sales: View[Sales], buyers: View[Buyers]) -> int:
    sold, bought = await sales.get(query.sku), await buyers.get(query.buyer)
    return (sold.units if sold else 0) + (bought.units if bought else 0)


@answer
async def nothing(query: Nothing) -> int:
    return 7


@answer
async def failing(query: Failing) -> int:
    if query.how == "refused":
        raise RefusedError("this customer is private")
    if query.how == "timeout":
        raise TimeoutError("of something that the answer asked")
    raise ZeroDivisionError("a bug")


@answer
async def slow(query: Slow) -> int:
    await asyncio.sleep(3_600)
    return 1


@answer
async def listed(query: Listed, sales: View[Sales]) -> list[Sales]:
    return await sales.find(order_by=["-units", "sku"], limit=2, start_after=query.start_after)


@answer
async def counted(query: Counted, sales: View[Sales]) -> int:
    return await sales.count(units=query.units)


@answer
async def found(query: Found, sales: View[Sales]) -> list[Sales]:
    return await sales.search(query.text)


everything = Application(
    "queries", [Product, Sales, Buyers, sales_of, both, nothing, failing, slow, listed, counted, found]
)


class Parts:
    """A query bus on rows that the test writes, and read models that stand where the test says."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.store, self.probe = Store(), Seen()
        self.progress = {name: Progress(model.table) for name, model in everything.read_models.items()}
        self.bus = QueryBus(everything, self.store, self.progress, self.probe, settings or Settings())

    async def save(self, *rows: ReadModel) -> None:
        for model in everything.read_models.values():
            shares = await leased(self.store, model.table)
            values = [model.to_row(row) for row in rows if type(row) is model.cls]
            await self.store.save(Fold(model.table, shares, shares[0].position, values, []))

    def stand_at(self, sales: int, buyers: int = 0) -> None:
        self.progress["Sales"].moved_to(Position(sales))
        self.progress["Buyers"].moved_to(Position(buyers))


@pytest.fixture
async def parts() -> Parts:
    made = Parts()
    await made.save(Sales(sku="mug", units=3), Buyers(buyer="ann", units=4))
    return made


async def test_a_query_is_answered_from_the_rows_with_the_position_that_they_reflect(parts: Parts) -> None:
    parts.stand_at(17, 12)
    assert await parts.bus.ask(SalesOf(sku="mug")) == (Sales(sku="mug", units=3), 17)
    assert await parts.bus.ask(SalesOf(sku="bag")) == (None, 17)
    assert await parts.bus.ask(Both(sku="mug", buyer="ann")) == (7, 12)
    assert await parts.bus.ask(Nothing(), after=5) == (7, 5)


async def test_a_row_is_a_copy(parts: Parts) -> None:
    answered = await parts.bus.ask(SalesOf(sku="mug"))
    assert answered.value is not None
    answered.value.units = 1_000
    answered.value.buyers.append("nobody")
    assert (await parts.bus.ask(SalesOf(sku="mug"))).value == Sales(sku="mug", units=3)


async def test_a_view_finds_in_pages_and_counts() -> None:
    parts = Parts()
    await parts.save(*(Sales(sku=sku, units=units) for sku, units in [("a", 1), ("b", 3), ("c", 3), ("d", 2)]))
    assert [row.sku for row in (await parts.bus.ask(Listed())).value] == ["b", "c"]
    assert [row.sku for row in (await parts.bus.ask(Listed(start_after="c"))).value] == ["d", "a"]
    assert (await parts.bus.ask(Counted(units=3))).value == 2


async def test_gets_that_arrive_together_become_one_call(parts: Parts) -> None:
    parts.store.gets.clear()
    answers = await asyncio.gather(*(parts.bus.ask(SalesOf(sku=str(number % 15))) for number in range(30)))
    assert len(answers) == 30
    assert len(parts.store.gets) <= 2
    assert sum(map(len, parts.store.gets)) == 15


# --- read your own write ---------------------------------------------------------------------------------------------


async def test_a_wanted_position_is_waited_for(parts: Parts) -> None:
    asked = asyncio.create_task(parts.bus.ask(SalesOf(sku="mug"), after=20))
    await idle()
    assert not asked.done()
    parts.stand_at(19)
    await idle()
    assert not asked.done()
    await parts.save(Sales(sku="mug", units=5))
    parts.stand_at(21)
    assert await asked == (Sales(sku="mug", units=5), 21)


async def test_every_read_model_of_the_answer_must_come_so_far(parts: Parts) -> None:
    asked = asyncio.create_task(parts.bus.ask(Both(sku="mug", buyer="ann"), after=20))
    parts.stand_at(30, 0)
    await idle()
    assert not asked.done()
    parts.stand_at(30, 20)
    assert (await asked).position == 20


async def test_a_position_that_is_not_reached_in_time_is_refused_with_what_is(parts: Parts) -> None:
    parts.stand_at(12, 15)
    with pytest.raises(NotYetConsistentError) as refusal:
        await parts.bus.ask(Both(sku="mug", buyer="ann"), after=14, wait_s=0)
    assert (refusal.value.wanted, refusal.value.reached, refusal.value.read_models) == (14, 12, "Sales")
    with pytest.raises(NotYetConsistentError, match="Sales, Buyers: position 20 was wanted, 12 is reached"):
        await parts.bus.ask(Both(sku="mug", buyer="ann"), after=20, wait_s=0.01)
    assert parts.probe.queries[-1] == ("Both", "not-yet-consistent")


async def test_the_setting_says_how_long_to_wait_when_the_asker_does_not() -> None:
    parts = Parts(Settings(consistency_wait_s=0.01))
    await parts.save()
    with pytest.raises(NotYetConsistentError):
        await asyncio.wait_for(parts.bus.ask(SalesOf(sku="mug"), after=1), 5)


async def test_an_asker_that_waits_longer_than_a_query_may_take_is_told_that_it_is_not_yet_consistent() -> None:
    """Waiting is not the answer's own time."""
    parts = Parts(Settings(query_timeout_s=0.05))
    await parts.save()
    with pytest.raises(NotYetConsistentError):
        await asyncio.wait_for(parts.bus.ask(SalesOf(sku="mug"), after=1, wait_s=0.1), 5)


async def test_a_position_that_no_log_can_have_is_refused(parts: Parts) -> None:
    with pytest.raises(InvalidInputError):
        await parts.bus.ask(SalesOf(sku="mug"), after=-1)


async def test_rows_that_other_code_has_made_are_not_read(parts: Parts) -> None:
    parts.progress["Sales"].look_at(None)
    with pytest.raises(ReadModelNotReadyError, match="Sales: no projector has made its table yet; no answer was made"):
        await parts.bus.ask(SalesOf(sku="mug"))
    with pytest.raises(ReadModelNotReadyError):
        await parts.bus.ask(Both(sku="mug", buyer="ann"), after=1)
    assert parts.probe.queries[-1] == ("Both", "read-model-not-ready")
    assert (await parts.bus.ask(Nothing())).value == 7
    parts.progress["Sales"].look_at((await parts.store.checkpoints())["Sales"])
    assert (await parts.bus.ask(SalesOf(sku="mug"))).value == Sales(sku="mug", units=3)


async def test_the_askers_own_time_ends_the_wait_for_a_position(parts: Parts) -> None:
    with pytest.raises(NotYetConsistentError):
        await asyncio.wait_for(parts.bus.ask(SalesOf(sku="mug"), after=99, wait_s=60, timeout_s=0.01), 5)


async def test_a_query_whose_askers_time_is_over_is_not_begun(parts: Parts) -> None:
    parts.store.gets.clear()
    with pytest.raises(QueryTimeoutError, match=r"SalesOf: no answer within 0\.0 seconds"):
        await parts.bus.ask(SalesOf(sku="mug"), timeout_s=0)
    assert parts.store.gets == []
    assert (await parts.bus.ask(SalesOf(sku="mug"), timeout_s=5)).value is not None


async def test_a_query_over_the_limit_waits_for_its_turn_and_not_for_ever() -> None:
    parts = Parts(Settings(query_wait_s=0.02))
    await parts.save(Sales(sku="mug", units=3))
    parts.bus.limit.limit = 1
    slow = asyncio.create_task(parts.bus.ask(Slow()))
    await idle()
    with pytest.raises(OverloadedError, match="1 queries are at work"):
        await parts.bus.ask(SalesOf(sku="mug"))
    with pytest.raises(QueryTimeoutError):
        await parts.bus.ask(SalesOf(sku="mug"), timeout_s=0.01)
    assert parts.bus.load.shed == {"full": 0, "wait": 1, "deadline": 1}
    waiting = asyncio.create_task(parts.bus.ask(SalesOf(sku="mug")))
    await idle()
    slow.cancel()
    assert (await waiting).value == Sales(sku="mug", units=3)
    assert (parts.bus.load.in_flight, parts.probe.queries[-2:]) == (0, [("Slow", "cancelled"), ("SalesOf", "ok")])


async def test_a_query_that_waits_for_its_position_takes_nobodys_place(parts: Parts) -> None:
    parts.bus.limit.limit = 1
    waiting = asyncio.create_task(parts.bus.ask(SalesOf(sku="mug"), after=99))
    await idle()
    assert (await parts.bus.ask(SalesOf(sku="mug"))).value is not None
    waiting.cancel()


# --- bugs, overload, the end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["bug", "timeout"])
async def test_a_bug_in_an_answer_is_told_without_its_details_and_logged_with_them(parts: Parts, how: str) -> None:
    with capture_logs() as logs, pytest.raises(HandlerFailedError) as failure:
        await parts.bus.ask(Failing(how=how))
    assert failure.value.handler == "failing"
    assert [(each["event"], each["correlation_id"]) for each in logs] == [
        ("answer-failed", failure.value.correlation_id)
    ]
    assert parts.probe.queries == [("Failing", "internal-error")]


async def test_a_refusal_by_an_answer_reaches_the_asker(parts: Parts) -> None:
    with pytest.raises(RefusedError, match="private"):
        await parts.bus.ask(Failing(how="refused"))


async def test_what_a_view_cannot_do_is_told() -> None:
    parts = Parts()
    await parts.save()
    with capture_logs(), pytest.raises(HandlerFailedError) as failure:
        await parts.bus.ask(Found(text="mug"))
    assert "search" in str(failure.value.__cause__)


async def test_an_answer_that_takes_too_long_is_given_up() -> None:
    parts = Parts(Settings(query_timeout_s=0.01))
    with pytest.raises(QueryTimeoutError) as refusal:
        await parts.bus.ask(Slow())
    assert (refusal.value.query, refusal.value.timeout_s) == ("Slow", 0.01)
    assert parts.probe.queries == [("Slow", "query-timeout")]


async def test_a_query_of_another_application_is_unknown(parts: Parts) -> None:
    class Elsewhere(Query[int]): ...

    with pytest.raises(UnknownMessageError):
        await parts.bus.ask(Elsewhere())


@asynccontextmanager
async def held(parts: Parts, count: int) -> AsyncGenerator[list[asyncio.Task[Any]]]:
    """So many queries that have begun and wait for the store."""
    parts.store.shut()
    asked = [asyncio.create_task(cast("Any", parts.bus.ask(SalesOf(sku=str(number))))) for number in range(count)]
    await until(lambda: parts.store.gets)
    yield asked
    parts.store.reopen()
    await asyncio.wait_for(asyncio.gather(*asked), 5)


async def test_more_queries_than_may_wait_are_refused_at_once_and_later_taken_again() -> None:
    parts = Parts(Settings(max_waiting_queries=3))
    await parts.save()
    async with held(parts, 3):
        with pytest.raises(OverloadedError) as refusal:
            await parts.bus.ask(SalesOf(sku="one too many"))
        assert (refusal.value.what, refusal.value.limit) == ("queries", 3)
    assert (await parts.bus.ask(SalesOf(sku="one more"))).value is None


async def test_draining_finishes_what_was_asked_and_takes_nothing_new(parts: Parts) -> None:
    async with held(parts, 2):
        draining = asyncio.create_task(parts.bus.drain())
        await idle()
        assert not draining.done()
        with pytest.raises(StoppingError):
            await parts.bus.ask(Nothing())
    await asyncio.wait_for(draining, 5)


async def test_an_asker_that_leaves_frees_its_place() -> None:
    parts = Parts(Settings(max_waiting_queries=1))
    await parts.save()
    leaving = asyncio.create_task(parts.bus.ask(SalesOf(sku="mug"), after=1))
    await idle()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert (await parts.bus.ask(Nothing())).value == 7
