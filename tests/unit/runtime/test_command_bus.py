import asyncio
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Break,
    Buy,
    BuyTwo,
    Log,
    Look,
    Product,
    Restock,
    Seen,
    Stock,
    Stocked,
    app,
    command_bus,
    commit,
    filled,
    idle,
    is_recorded,
    stream,
    until,
    write_side,
)
from twofold import (
    Aggregate,
    AlreadyExistsError,
    Application,
    Command,
    Event,
    Metadata,
    NotFoundError,
    Rejected,
    Settings,
    UnknownOutcomeError,
    WrongExpectedVersionError,
    apply,
    handle,
)
from twofold.errors import (
    CommandIdReusedError,
    CommandTimeoutError,
    ContentionError,
    HandlerFailedError,
    InvalidCommandIdError,
    InvalidKeyError,
    InvalidMessageError,
    OverloadedError,
    StoppingError,
    StoreUnavailableError,
    UndecodableEventError,
    UnknownMessageError,
)
from twofold.ports import Commit
from twofold.runtime.lanes import Accepted
from twofold.streams import StreamId
from twofold.testing import TestClock


async def all_of(*sends: Awaitable[Accepted]) -> list[Any]:
    """What each became: the answer or the error."""
    return await asyncio.wait_for(asyncio.gather(*sends, return_exceptions=True), 10)


async def stocked(log: Log, units: int, sku: str = "mug") -> None:
    await filled(log, Stocked(sku=sku, units=units))


# --- one command -----------------------------------------------------------------------------------------------------


async def test_a_command_is_answered_with_its_events_and_their_place() -> None:
    log = Log()
    bus = command_bus(log)
    await bus.send(Stock(sku="mug", units=3))
    done = await bus.send(BuyTwo(sku="mug", buyer="ann"))
    bought = Bought(sku="mug", buyer="ann")
    assert done == Accepted(stream("mug"), version=3, position=3, events=(bought, bought), replayed=False)
    assert [each.type for each in await log.events()] == ["Stocked", "Bought", "Bought"]


async def test_events_carry_who_asked_what_and_when() -> None:
    log, clock = Log(), TestClock()
    bus = command_bus(log, clock=clock)
    given = Metadata(correlation_id="talk", actor="ann", extra={"till": "7"})
    await bus.send(Stock(sku="mug"), command_id="k1", metadata=given)
    (event,) = await log.events()
    recorded = app.codec.recorded(event)
    assert recorded.metadata == Metadata(
        command="Stock", command_id="k1", correlation_id="talk", causation_id="k1", actor="ann", extra={"till": "7"}
    )
    assert recorded.recorded_at == clock.now()


async def test_events_carry_what_caused_the_command_and_its_place_in_a_trace() -> None:
    log = Log()
    bus = command_bus(log)
    given = Metadata(causation_id="17", traceparent="00-1-2-01", tracestate="vendor=1")
    await bus.send(Stock(sku="mug"), command_id="k1", metadata=given)
    (event,) = await log.events()
    assert app.codec.recorded(event).metadata == Metadata(
        command="Stock",
        command_id="k1",
        correlation_id="k1",
        causation_id="17",
        traceparent="00-1-2-01",
        tracestate="vendor=1",
    )


async def test_a_command_without_ids_starts_a_conversation_of_its_own() -> None:
    log = Log()
    bus = command_bus(log)
    await bus.send(Stock(sku="mug"))
    await bus.send(Restock(sku="mug"))
    one, other = [app.codec.recorded(each).metadata for each in await log.events()]
    assert one.command_id == one.correlation_id == one.causation_id != ""
    assert one.command_id != other.command_id


@pytest.mark.parametrize(
    ("command", "kind", "code"),
    [
        (Buy(sku="unknown"), NotFoundError, "not-found"),
        (Stock(sku="mug"), AlreadyExistsError, "already-exists"),
        (Buy(sku="mug"), Rejected, "sold-out"),
        (Buy(sku=""), InvalidKeyError, "invalid-key"),
        (Buy(sku="x" * 10_000), InvalidKeyError, "invalid-key"),
        (Buy(sku="mug", buyer="a\x00"), InvalidMessageError, "invalid-message"),
        (Buy(sku="mug", buyer="\ud800"), InvalidMessageError, "invalid-message"),
        (Restock(sku="mug", units=2**63), InvalidMessageError, "invalid-message"),
        (Restock(sku="mug", units=object()), InvalidMessageError, "invalid-message"),  # pyright: ignore[reportArgumentType]
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_refused_command_appends_nothing(command: Command, kind: type[Exception], code: str) -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, probe=probe)
    await bus.send(Stock(sku="mug", units=0))
    with pytest.raises(kind):
        await asyncio.wait_for(bus.send(command, command_id="k1"), 5)
    assert len(await log.events()) == 1
    assert not await is_recorded(log, "k1")
    assert probe.commands == [("Stock", "ok"), (command.stored_name, code)]


async def test_a_command_of_another_application_is_unknown() -> None:
    class Sell(Command):
        sku: str

    with pytest.raises(UnknownMessageError):
        await command_bus(Log()).send(Sell(sku="mug"))


@pytest.mark.parametrize("command_id", ["", "x" * 201, "a\nb", "\ud800"])
async def test_a_command_id_that_could_not_be_recorded_is_refused(command_id: str) -> None:
    log = Log()
    with pytest.raises(InvalidCommandIdError):
        await command_bus(log).send(Stock(sku="mug"), command_id=command_id)
    assert not log.batches


async def test_a_command_may_make_no_event_and_is_still_done_once() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 1)
    first = await bus.send(Look(sku="mug"), command_id="k1")
    assert first == Accepted(stream("mug"), version=1, position=1, events=())
    await bus.send(Buy(sku="mug"))
    assert await bus.send(Look(sku="mug"), command_id="k1") == first.as_replayed()


# --- group commit ----------------------------------------------------------------------------------------------------


async def test_commands_that_arrive_during_an_append_go_into_the_next_one_together() -> None:
    log = Log()
    bus = command_bus(log)
    log.hold()
    first = [asyncio.create_task(bus.send(Stock(sku=f"first {number}"))) for number in range(2)]
    await until(lambda: log.batches)
    later = [asyncio.create_task(bus.send(Stock(sku=f"later {number}"))) for number in range(100)]
    await idle()
    log.release()
    await all_of(*first, *later)
    assert log.most_at_once <= 2
    assert max(len(batch) for batch in log.batches) >= 90
    assert len(log.batches) <= 4


async def test_an_append_takes_no_more_commands_than_the_setting_says() -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, Settings(append_batch_size=10), probe=probe)
    await stocked(log, 1_000)
    answers = await all_of(
        *(bus.send(Buy(sku="mug")) for _ in range(35)), *(bus.send(Stock(sku=f"{n}")) for n in range(35))
    )
    assert all(isinstance(each, Accepted) for each in answers)
    assert max(len(batch) for batch in log.batches) == 10
    assert sum(commands for commands, _ in probe.appends) == 70


async def test_one_conflict_does_not_fail_its_neighbours() -> None:
    log = Log()
    bus = command_bus(log)
    for sku in ("mug", "bag"):
        await stocked(log, 5, sku)
    await all_of(bus.send(Look(sku="mug")), bus.send(Look(sku="bag")))
    await filled(log, Bought(sku="mug", buyer="another process"))
    log.batches.clear()
    mug, bag = await all_of(bus.send(Buy(sku="mug")), bus.send(Buy(sku="bag")))
    assert (mug.version, bag.version) == (3, 2)
    assert [len(batch) for batch in log.batches] == [2, 1]


# --- one stream ------------------------------------------------------------------------------------------------------


async def test_commands_on_one_stream_are_done_in_the_order_they_came() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 500)
    answers = await all_of(*(bus.send(Buy(sku="mug", buyer=str(number))) for number in range(500)))
    assert [each.version for each in answers] == list(range(2, 502))
    assert [each.events[0].buyer for each in answers] == [str(number) for number in range(500)]


async def test_a_flash_sale_of_a_thousand_buyers_sells_what_there_is_in_few_appends() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 300)
    answers = await all_of(*(bus.send(Buy(sku="mug", buyer=str(number))) for number in range(1_000)))
    sold = [each for each in answers if isinstance(each, Accepted)]
    refused = [each for each in answers if isinstance(each, Rejected)]
    assert (len(sold), len(refused)) == (300, 700)
    assert {refusal.code for refusal in refused} == {"sold-out"}
    assert len({each.position for each in sold}) == 300
    assert len(await log.events()) == 301
    assert len(log.batches) <= 10


async def test_while_a_run_is_being_appended_later_commands_of_its_stream_wait() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 1)
    await bus.send(Look(sku="mug"))
    log.hold()
    first = asyncio.create_task(bus.send(Buy(sku="mug", buyer="ann")))
    await until(lambda: len(log.batches) == 2)
    second = asyncio.create_task(bus.send(Buy(sku="mug", buyer="bob")))
    await idle()
    assert len(log.batches) == 2
    log.release()
    done, refused = await all_of(first, second)
    assert done.version == 2
    assert refused.code == "sold-out"


async def test_a_refusal_on_a_state_that_was_not_appended_is_made_again() -> None:
    """Ann takes the last unit, so Bob is refused; but the append loses a race against a delivery of more units."""
    log = Log()
    bus = command_bus(log)
    await stocked(log, 1)
    await bus.send(Look(sku="mug"))
    await filled(log, Stocked(sku="mug", units=10))
    ann, bob = await all_of(bus.send(Buy(sku="mug", buyer="ann")), bus.send(Buy(sku="mug", buyer="bob")))
    assert (ann.version, bob.version) == (3, 4)


async def test_a_refusal_on_a_stale_state_is_made_again() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 0)
    await bus.send(Look(sku="mug"))
    await filled(log, Stocked(sku="mug", units=1))
    assert (await bus.send(Buy(sku="mug"))).version == 3


async def test_an_existing_stream_is_not_refused_on_stale_ignorance() -> None:
    log = Log()
    bus = command_bus(log)
    with pytest.raises(NotFoundError):
        await bus.send(Buy(sku="mug"))
    await stocked(log, 1)
    assert (await bus.send(Buy(sku="mug"))).version == 2


# --- lost races ------------------------------------------------------------------------------------------------------


async def test_a_lost_race_is_decided_again_and_not_shown() -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, probe=probe)
    await stocked(log, 100)
    await bus.send(Look(sku="mug"))
    races = 3

    async def overtake() -> None:
        nonlocal races
        if races:
            races -= 1
            await filled(log, Bought(sku="mug", buyer="another process"))

    log.before_append = overtake
    answers = await all_of(*(bus.send(Buy(sku="mug", buyer=str(number))) for number in range(20)))
    assert [each.version for each in answers] == list(range(5, 25))
    assert [each.events[0].buyer for each in answers] == [str(number) for number in range(20)]
    assert {code for _, code in probe.commands} == {"ok"}


async def test_races_are_lost_only_so_often() -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, Settings(command_attempts=3), probe=probe)
    await stocked(log, 100)

    async def overtake() -> None:
        await filled(log, Stocked(sku="mug", units=1))

    log.before_append = overtake
    with pytest.raises(ContentionError) as refusal:
        await bus.send(Buy(sku="mug"))
    assert (refusal.value.stream, refusal.value.attempts) == ("product-mug", 3)
    assert [each.type for each in await log.events()] == ["Stocked"] * 4
    log.before_append = None
    assert (await bus.send(Buy(sku="mug"))).version == 5
    assert probe.commands == [("Buy", "contention"), ("Buy", "ok")]


async def test_two_buses_on_one_log_never_oversell() -> None:
    log = Log()
    buses = [command_bus(log, Settings(command_attempts=1_000)) for _ in range(2)]
    await stocked(log, 50)
    answers = await all_of(*(buses[n % 2].send(Buy(sku="mug", buyer=str(n)), command_id=f"k{n}") for n in range(200)))
    assert sum(isinstance(each, Accepted) for each in answers) == 50
    assert sum(isinstance(each, Rejected) for each in answers) == 150
    assert len(await log.events()) == 51


# --- expected version ------------------------------------------------------------------------------------------------


async def test_an_expected_version_that_holds_is_accepted() -> None:
    log = Log()
    bus = command_bus(log)
    assert (await bus.send(Stock(sku="mug", units=5), expected_version=0)).version == 1
    assert (await bus.send(Buy(sku="mug"), expected_version=1)).version == 2


@pytest.mark.parametrize("expected", [0, 1, 3, -1])
async def test_an_expected_version_that_has_moved_is_refused_with_the_actual_one(expected: int) -> None:
    log = Log()
    bus = command_bus(log)
    await filled(log, Stocked(sku="mug", units=5), Bought(sku="mug", buyer="ann"))
    with pytest.raises(WrongExpectedVersionError) as refusal:
        await bus.send(Buy(sku="mug"), expected_version=expected)
    assert (refusal.value.expected, refusal.value.actual) == (expected, 2)
    assert len(await log.events()) == 2


async def test_a_version_that_moves_during_the_append_is_refused_and_not_retried_into() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 5)
    await bus.send(Look(sku="mug"))
    await filled(log, Bought(sku="mug", buyer="another process"))
    with pytest.raises(WrongExpectedVersionError) as refusal:
        await bus.send(Buy(sku="mug"), expected_version=1)
    assert refusal.value.actual == 2


async def test_of_many_that_expect_one_version_one_wins() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 100)
    answers = await all_of(*(bus.send(Buy(sku="mug"), expected_version=1) for _ in range(20)))
    assert [type(each) for each in answers] == [Accepted, *[WrongExpectedVersionError] * 19]


# --- the same command again ------------------------------------------------------------------------------------------


async def test_a_repeated_command_gets_its_first_answer_whatever_has_happened_since() -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, probe=probe)
    await bus.send(Stock(sku="mug", units=3), command_id="k0")
    first = await bus.send(BuyTwo(sku="mug"), command_id="k1")
    await bus.send(Buy(sku="mug"))
    for again in (bus, command_bus(log, probe=probe)):
        assert await again.send(BuyTwo(sku="mug"), command_id="k1") == first.as_replayed()
    assert len(await log.events()) == 4
    assert probe.commands[-2:] == [("BuyTwo", "replayed")] * 2


async def test_a_repeat_that_would_be_refused_by_now_gets_its_first_answer() -> None:
    log = Log()
    bus = command_bus(log)
    opened = await bus.send(Stock(sku="mug", units=1), command_id="k1")
    bought = await bus.send(Buy(sku="mug"), command_id="k2", expected_version=1)
    assert await bus.send(Stock(sku="mug", units=1), command_id="k1") == opened.as_replayed()
    assert await bus.send(Buy(sku="mug"), command_id="k2", expected_version=1) == bought.as_replayed()


async def test_a_repeat_that_now_fails_gets_its_first_answer() -> None:
    """The handler was broken by a later release; what was done stays done."""
    log = Log()
    await command_bus(log).send(Stock(sku="mug", units=1), command_id="k1")

    class Product(Aggregate, key="sku"):
        @handle(creates=True)
        def add(self, command: Stock) -> Stocked:
            raise ZeroDivisionError

        @handle
        def restock(self, command: Restock) -> Stocked:
            raise ZeroDivisionError

    bus = command_bus(log, application=Application("broken", [Product]))
    assert (await bus.send(Stock(sku="mug", units=1), command_id="k1")).replayed


async def test_a_refusal_is_not_recorded_so_the_same_id_may_succeed_later() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 0)
    with pytest.raises(Rejected):
        await bus.send(Buy(sku="mug"), command_id="k1")
    await bus.send(Restock(sku="mug"))
    done = await bus.send(Buy(sku="mug"), command_id="k1")
    assert not done.replayed


async def test_repeats_at_the_same_time_take_effect_once() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 100)
    answers = await all_of(*(bus.send(Buy(sku="mug"), command_id=f"k{number % 5}") for number in range(50)))
    assert len(await log.events()) == 6
    assert sum(not each.replayed for each in answers) == 5
    for number, each in enumerate(answers):
        assert each.position == answers[number % 5].position


async def test_a_repeat_does_not_disturb_the_commands_behind_it() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 2)
    await bus.send(Buy(sku="mug", buyer="ann"), command_id="k1")
    again, bob, cy = await all_of(
        bus.send(Buy(sku="mug", buyer="ann"), command_id="k1"),
        bus.send(Buy(sku="mug", buyer="bob")),
        bus.send(Buy(sku="mug", buyer="cy")),
    )
    assert (again.replayed, again.version, bob.version) == (True, 2, 3)
    assert cy.code == "sold-out"


async def test_more_repeats_than_attempts_do_not_use_up_the_attempts_of_others() -> None:
    log = Log()
    bus = command_bus(log, Settings(command_attempts=3))
    await stocked(log, 1_000)
    for number in range(20):
        await bus.send(Buy(sku="mug"), command_id=f"k{number}")
    answers = await all_of(
        *(
            bus.send(Buy(sku="mug", buyer="ann" if n % 2 else "bob"), command_id=f"k{n}" if n % 2 else None)
            for n in range(20)
        )
    )
    assert sum(isinstance(each, Accepted) for each in answers) == 20


@pytest.mark.parametrize(
    "other",
    [Buy(sku="mug", buyer="bob"), Buy(sku="bag", buyer="ann"), BuyTwo(sku="mug", buyer="ann"), Look(sku="mug")],
    ids=["other fields", "other stream", "other command", "no events"],
)
async def test_an_id_that_comes_with_another_command_is_refused(other: Command) -> None:
    log = Log()
    bus = command_bus(log)
    for sku in ("mug", "bag"):
        await stocked(log, 9, sku)
    await bus.send(Buy(sku="mug", buyer="ann"), command_id="k1")
    with pytest.raises(CommandIdReusedError) as refusal:
        await bus.send(other, command_id="k1")
    assert (refusal.value.command_id, refusal.value.stream) == ("k1", "product-mug")
    assert len(await log.events()) == 3


async def test_commands_of_equal_fields_and_names_that_begin_alike_are_told_apart() -> None:
    class ReserveInventoryForOrder(Command):
        sku: str

    class ReserveInventoryForReturn(Command):
        sku: str

    class Reserved(Event):
        sku: str

    class Product(Aggregate, key="sku"):
        @handle(creates=True)
        def order(self, command: ReserveInventoryForOrder) -> Reserved:
            return Reserved(sku=command.sku)

        @handle
        def give_back(self, command: ReserveInventoryForReturn) -> Reserved:
            return Reserved(sku=command.sku)

    bus = command_bus(Log(), application=Application("long names", [Product]))
    await bus.send(ReserveInventoryForOrder(sku="mug"), command_id="k1")
    with pytest.raises(CommandIdReusedError):
        await bus.send(ReserveInventoryForReturn(sku="mug"), command_id="k1")


async def test_a_repeat_whose_first_events_cannot_be_read_any_more_says_so() -> None:
    class Forgotten(Event, name="Stocked"):
        number: int

    class Product(Aggregate, key="sku"):
        @handle(creates=True)
        def add(self, command: Stock) -> Forgotten:
            return Forgotten(number=1)

    log = Log()
    await command_bus(log).send(Stock(sku="mug", units=1), command_id="k1")
    bus = command_bus(log, application=Application("later", [Product]))
    with pytest.raises(UndecodableEventError, match="Stocked"):
        await bus.send(Stock(sku="mug", units=1), command_id="k1")


# --- bugs in handlers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raise", "unstorable", "apply fails", "apply refuses"])
async def test_a_bug_appends_nothing_and_leaves_no_trace_in_the_state(how: str) -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 1)
    with capture_logs() as logs, pytest.raises(HandlerFailedError) as failure:
        await bus.send(Break(sku="mug", how=how), metadata=Metadata(correlation_id="talk"))
    assert (failure.value.handler, failure.value.correlation_id) == ("Product.break_it", "talk")
    assert [(each["event"], each["correlation_id"]) for each in logs] == [("handler-failed", "talk")]
    assert len(await log.events()) == 1
    assert (await bus.send(Buy(sku="mug"))).version == 2
    with pytest.raises(Rejected):
        await bus.send(Buy(sku="mug"))


async def test_a_bug_does_not_fail_the_commands_around_it() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 2)
    await bus.send(Look(sku="mug"))
    with capture_logs():
        ann, bug, bob, cy = await all_of(
            bus.send(Buy(sku="mug", buyer="ann")),
            bus.send(Break(sku="mug")),
            bus.send(Buy(sku="mug", buyer="bob")),
            bus.send(Buy(sku="mug", buyer="cy")),
        )
    assert (ann.version, bob.version, type(bug)) == (2, 3, HandlerFailedError)
    assert cy.code == "sold-out"


async def test_an_applier_that_fails_on_a_stored_event_is_a_bug_too() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 1)

    class Fussy(Aggregate, key="sku", name="product"):
        @handle
        def buy(self, command: Buy) -> Bought:
            raise AssertionError

        @apply
        def stocked(self, event: Stocked) -> None:
            raise ZeroDivisionError

    bus = command_bus(log, application=Application("fussy", [Fussy]))
    with capture_logs() as logs, pytest.raises(HandlerFailedError):
        await bus.send(Buy(sku="mug"))
    assert logs, "a bug is logged"


async def test_metadata_that_cannot_be_written_is_refused_and_nobody_waits_for_ever() -> None:
    log = Log()
    bus = command_bus(log)
    odd: Any = {"till": object()}
    answers = await all_of(
        bus.send(Stock(sku="mug"), metadata=Metadata(extra=odd)),
        bus.send(Stock(sku="bag"), metadata=Metadata(actor="\ud800")),
        bus.send(Stock(sku="cup")),
    )
    assert isinstance(answers[2], Accepted)
    assert all(isinstance(each, Exception) for each in answers[:2])
    assert len(await log.events()) == 1


# --- stores that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [StoreUnavailableError("event log", "the disk is full"), UnknownOutcomeError("event log", "power cut")]
)
async def test_an_append_that_fails_fails_its_commands_and_no_later_one(fault: Exception) -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 2)
    await bus.send(Look(sku="mug"))
    log.faults.append(fault)
    answers = await all_of(*(bus.send(Buy(sku="mug", buyer=buyer)) for buyer in ("ann", "bob", "cy")))
    assert [type(each) for each in answers] == [type(fault)] * 3
    assert (await bus.send(Buy(sku="mug"))).version == 2


async def test_an_unknown_outcome_is_cleared_up_by_sending_the_same_id_again() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 2)
    done = Log.append

    async def append_then_fail(commits: Any) -> Any:
        await done(log, commits)
        raise UnknownOutcomeError("event log", "the connection was lost at COMMIT")

    log.append = append_then_fail
    with pytest.raises(UnknownOutcomeError):
        await bus.send(Buy(sku="mug"), command_id="k1")
    del log.append
    again = await bus.send(Buy(sku="mug"), command_id="k1")
    assert (again.replayed, again.version) == (True, 2)
    assert len(await log.events()) == 2


async def test_an_error_that_is_none_of_ours_is_unavailability_to_the_sender() -> None:
    log = Log()
    bus = command_bus(log)
    log.faults.append(OSError(5, "I/O error"))
    with pytest.raises(StoreUnavailableError, match="I/O error"):
        await bus.send(Stock(sku="mug"))
    assert (await bus.send(Stock(sku="mug"))).version == 1


async def test_a_load_that_fails_fails_its_commands_and_is_tried_again_for_the_next() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 2)
    log.read_faults.append(StoreUnavailableError("event log", "interrupted"))
    with pytest.raises(StoreUnavailableError):
        await bus.send(Buy(sku="mug"))
    assert (await bus.send(Buy(sku="mug"))).version == 2


async def test_a_store_out_of_reach_is_not_asked_once_for_each_stream() -> None:
    """Each would wait for as long as the store may take, and the last for all of them."""
    log = Log()
    bus = command_bus(log)
    log.read_faults += [StoreUnavailableError("event log", "out of reach")] * 5
    answers = await all_of(*(bus.send(Buy(sku=f"mug {number}")) for number in range(9)))
    assert {type(each) for each in answers} == {StoreUnavailableError}
    assert len(log.read_faults) >= 3, "asked once by each of the loads that may run at a time, at most"


async def test_a_stream_that_cannot_be_read_does_not_fail_its_neighbours() -> None:
    class Foreign(Event):
        sku: str

    codec = Application("other", [Foreign]).codec
    log = Log()
    foreign = Commit(StreamId("product", "odd"), 0, (codec.encode(Foreign(sku="odd"))[0],), b"{}", 0)
    await log.append([foreign])
    await stocked(log, 5)
    bus = command_bus(log)
    odd, mug = await all_of(bus.send(Buy(sku="odd")), bus.send(Buy(sku="mug")))
    assert isinstance(odd, UndecodableEventError)
    assert mug.version == 2


# --- senders that leave ----------------------------------------------------------------------------------------------


async def test_a_command_whose_sender_leaves_before_it_is_decided_is_not_done() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 5)
    await bus.send(Look(sku="mug"))
    log.hold()
    first = asyncio.create_task(bus.send(Buy(sku="mug", buyer="ann")))
    await until(lambda: len(log.batches) == 2)
    leaving = asyncio.create_task(bus.send(Buy(sku="mug", buyer="leaver")))
    staying = asyncio.create_task(bus.send(Buy(sku="mug", buyer="bob")))
    await idle()
    leaving.cancel()
    log.release()
    ann, left, bob = await all_of(first, leaving, staying)
    assert isinstance(left, asyncio.CancelledError)
    assert (ann.version, bob.version) == (2, 3)
    assert [app.codec.decode(each) for each in await log.events()][1:] == [*ann.events, *bob.events]


async def test_a_command_whose_sender_leaves_during_the_append_is_done() -> None:
    log = Log()
    bus = command_bus(log)
    log.hold()
    leaving = asyncio.create_task(bus.send(Stock(sku="mug"), command_id="k1"))
    await until(lambda: log.batches)
    leaving.cancel()
    await idle()
    log.release()
    assert (await bus.send(Stock(sku="mug"), command_id="k1")).replayed
    assert len(await log.events()) == 1


# --- too much, and the end -------------------------------------------------------------------------------------------


async def test_more_commands_than_may_wait_are_refused_at_once_and_later_taken_again() -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, Settings(max_waiting_commands=10), probe=probe)
    log.hold()
    accepted = [asyncio.create_task(bus.send(Stock(sku=str(number)))) for number in range(10)]
    await until(lambda: log.batches)
    with pytest.raises(OverloadedError) as refusal:
        await bus.send(Stock(sku="one too many"))
    assert (refusal.value.what, refusal.value.limit) == ("commands", 10)
    log.release()
    assert all(isinstance(each, Accepted) for each in await all_of(*accepted))
    assert (await bus.send(Stock(sku="one more"))).version == 1
    assert probe.commands[0] == ("Stock", "overloaded")


async def test_a_command_over_the_limit_waits_and_is_done_when_there_is_room() -> None:
    log = Log()
    bus = command_bus(log, Settings(command_wait_s=30))
    bus.limit.limit = 1
    log.hold()
    first, second = (asyncio.create_task(bus.send(Stock(sku=sku))) for sku in ("one", "two"))
    await until(lambda: log.batches)
    assert (bus.load.in_flight, bus.load.waiting, bus.load.limit) == (1, 1, 1)
    log.release()
    assert all(isinstance(each, Accepted) for each in await all_of(first, second))
    assert [len(batch) for batch in log.batches] == [1, 1]


async def test_a_command_that_finds_no_room_in_time_is_refused_and_never_done() -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, Settings(command_wait_s=0.02), probe=probe)
    bus.limit.limit = 1
    log.hold()
    first = asyncio.create_task(bus.send(Stock(sku="one")))
    await until(lambda: log.batches)
    with pytest.raises(OverloadedError, match="1 commands are at work, and none was done within"):
        await bus.send(Stock(sku="two"))
    with pytest.raises(CommandTimeoutError, match=r"Stock: not decided within 0\.001 seconds"):
        await bus.send(Stock(sku="three"), timeout_s=0.001)
    log.release()
    await first
    assert len(await log.events()) == 1
    assert probe.commands == [("Stock", "overloaded"), ("Stock", "command-timeout"), ("Stock", "ok")]
    assert bus.load.shed == {"full": 0, "wait": 1, "deadline": 1}


async def test_a_command_whose_senders_time_is_over_before_it_is_decided_is_not_done() -> None:
    log = Log()
    bus = command_bus(log)
    await stocked(log, 5)
    await bus.send(Look(sku="mug"))
    log.hold()
    first = asyncio.create_task(bus.send(Buy(sku="mug", buyer="ann")))
    await until(lambda: len(log.batches) == 2)
    late = asyncio.create_task(bus.send(Buy(sku="mug", buyer="late"), timeout_s=0.001))
    patient = asyncio.create_task(bus.send(Buy(sku="mug", buyer="bob"), timeout_s=30))
    await asyncio.sleep(0.002)
    log.release()
    ann, refused, bob = await all_of(first, late, patient)
    assert isinstance(refused, CommandTimeoutError)
    assert (refused.timeout_s, ann.version, bob.version) == (0.001, 2, 3)


async def test_draining_finishes_what_was_accepted_and_takes_nothing_new() -> None:
    log = Log()
    bus = command_bus(log)
    log.hold()
    accepted = [asyncio.create_task(bus.send(Stock(sku=str(number)))) for number in range(10)]
    await until(lambda: log.batches)
    draining = asyncio.create_task(bus.drain())
    await idle()
    assert not draining.done()
    with pytest.raises(StoppingError):
        await bus.send(Stock(sku="late"))
    log.release()
    await asyncio.wait_for(draining, 5)
    assert all(isinstance(each, Accepted) for each in await all_of(*accepted))


async def test_draining_waits_for_appends_whose_senders_have_left() -> None:
    """Whoever drains closes the event log next: an append under way would lose its file."""
    log = Log()
    bus = command_bus(log)
    log.hold()
    leaving = asyncio.create_task(bus.send(Stock(sku="mug")))
    await until(lambda: log.batches)
    leaving.cancel()
    await idle()
    draining = asyncio.create_task(bus.drain())
    await idle()
    assert not draining.done()
    log.release()
    await asyncio.wait_for(draining, 5)
    assert len(await log.events()) == 1


async def test_draining_waits_for_snapshots() -> None:
    class Slow(Log):
        async def save_snapshots(self, snapshots: Any) -> None:
            await self._open.wait()
            await super().save_snapshots(snapshots)

    class Kept(Product, key="sku", snapshot_every=1): ...

    log = Slow()
    bus = command_bus(log, application=Application("kept", [Kept]))
    await bus.send(Stock(sku="mug"))
    log.hold()
    saving = asyncio.create_task(bus.drain())
    await idle()
    log.release()
    await asyncio.wait_for(saving, 5)
    assert await log.load_snapshots([StreamId("kept", "mug")])


async def test_a_snapshot_that_cannot_be_made_or_saved_fails_no_command() -> None:
    class Odd(Aggregate, key="sku", snapshot_every=1):
        by_pair: dict[tuple[int, int], int] = {}

        @handle(creates=True)
        def add(self, command: Stock) -> Stocked:
            return Stocked(sku=command.sku, units=command.units)

        @handle
        def restock(self, command: Restock) -> Stocked:
            return Stocked(sku=command.sku, units=command.units)

        @apply
        def stocked(self, event: Stocked) -> None:
            self.by_pair[1, 2] = 3  # a key that JSON has not

    bus = command_bus(Log(), application=Application("odd", [Odd]))
    with capture_logs():
        for command in (Stock(sku="mug"), Restock(sku="mug"), Restock(sku="mug")):
            await asyncio.wait_for(bus.send(command), 5)


async def test_the_price_of_a_commit_is_told_to_the_probe() -> None:
    log, probe = Log(), Seen()
    bus = command_bus(log, probe=probe)
    await bus.send(Stock(sku="mug", units=5))
    await bus.send(BuyTwo(sku="mug"))
    assert probe.appends == [(1, 1), (1, 2)]
    assert probe.commands == [("Stock", "ok"), ("BuyTwo", "ok")]


def test_a_commit_of_these_tests_is_what_the_domain_makes() -> None:
    assert (
        write_side.codec.encode(Bought(sku="mug", buyer="ann", price=Decimal("1.50")))[0]
        in commit(Bought(sku="mug", buyer="ann", price=Decimal("1.50"))).events
    )
