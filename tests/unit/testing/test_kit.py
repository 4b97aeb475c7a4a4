"""The testing kit, tested by what it must catch as much as by what it must let pass."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from examples.bank import Account, AccountOpened, AccountsOf, Balance, Deposit, Deposited, OpenAccount, app
from twofold import (
    Aggregate,
    Application,
    Command,
    Context,
    Event,
    Metadata,
    NotFoundError,
    ReadModel,
    Recorded,
    Rejected,
    Settings,
    apply,
    handle,
    on,
)
from twofold.errors import InvalidKeyError, RefusedError, UnfoldableEventError
from twofold.streams import START
from twofold.testing import TestClock, given, given_events, recorded, running
from twofold.testing.aggregates import Outcome

OPENED = AccountOpened(account_id="a1", owner="ann")
DEPOSIT = Deposit(account_id="a1", amount=Decimal(5))
DEPOSITED = Deposited(account_id="a1", amount=Decimal(5))
EIGHT = datetime(2031, 2, 3, 8, tzinfo=UTC)


# --- aggregates: what passes -----------------------------------------------------------------------------------------


def test_a_story_is_told_by_given_when_then() -> None:
    given(Account).when(OpenAccount(account_id="a1", owner="ann")).then(OPENED)
    given(Account, OPENED).when(DEPOSIT).then(DEPOSITED)
    given(Account, OPENED).when(Deposit(account_id="a1", amount=Decimal(0))).then_rejected("amount-not-positive")
    given(Account, OPENED).when(OpenAccount(account_id="a1", owner="ann")).then_rejected("already-exists")
    given(Account).when(DEPOSIT).then_rejected("not-found")
    given(Account).when(DEPOSIT).then_error(NotFoundError)
    given(Account).when(DEPOSIT).then_error(RefusedError)
    given(Account, OPENED).when(Deposit(account_id="", amount=Decimal(1))).then_error(InvalidKeyError)


def test_each_when_starts_from_the_history() -> None:
    story = given(Account, OPENED)
    story.when(DEPOSIT).then(DEPOSITED)
    story.when(DEPOSIT).then(DEPOSITED)


class Note(Command):
    account_id: str
    texts: list[str] = []


class Noted(Event):
    account_id: str
    at: datetime
    by: str
    ids: list[str]
    source: str = ""


class Notes(Aggregate, key="account_id"):
    texts: list[str] = []
    total: Decimal = Decimal(0)

    @handle(creates=True)
    def note(self, command: Note, context: Context) -> Noted | None:
        if not command.texts:
            return None
        return Noted(
            account_id=command.account_id,
            at=context.now,
            by=context.actor,
            ids=[context.new_id() for _ in command.texts],
            source=context.metadata.extra.get("source", ""),
        )


def test_no_event_is_an_outcome_too() -> None:
    given(Notes).when(Note(account_id="a1")).then_nothing()


def test_time_actor_ids_and_metadata_are_the_tests_to_give() -> None:
    command = Note(account_id="a1", texts=["a", "b"])
    given(Notes).when(command, now=EIGHT, actor="ann", ids=["x", "y"]).then(
        Noted(account_id="a1", at=EIGHT, by="ann", ids=["x", "y"])
    )
    given(Notes).when(command, metadata=Metadata(actor="bob", extra={"source": "till"})).then(
        Noted(account_id="a1", at=datetime(2030, 1, 1, 12, tzinfo=UTC), by="bob", ids=["id-1", "id-2"], source="till")
    )


def test_a_handler_is_given_utc_whatever_zone_the_test_thinks_in() -> None:
    command = Note(account_id="a1", texts=["a"])
    rome = datetime(2031, 2, 3, 9, tzinfo=timezone(timedelta(hours=1)))
    given(Notes).when(command, now=rome).then(Noted(account_id="a1", at=EIGHT, by="", ids=["id-1"]))
    with pytest.raises(ValueError, match="has no zone"):
        given(Notes).when(command, now=datetime(2031, 2, 3, 9))  # noqa: DTZ001 - that is the point


# --- aggregates: what is caught --------------------------------------------------------------------------------------


def complaint(check: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as failure:
        check()
    return str(failure.value)


def test_another_event_than_expected_is_shown_field_by_field() -> None:
    outcome = given(Account, OPENED).when(DEPOSIT)
    assert complaint(lambda: outcome.then(Deposited(account_id="a1", amount=Decimal(6)))) == (
        "Account.deposit decided Deposit(account_id='a1', amount=Decimal('5'))\n"
        "  expected Deposited(account_id='a1', amount=Decimal('6'))\n"
        "  it made  Deposited(account_id='a1', amount=Decimal('5'))\n"
        "  event 1, Deposited.amount: expected Decimal('6'), made Decimal('5')"
    )


def test_more_events_than_made_are_listed() -> None:
    outcome = given(Account, OPENED).when(DEPOSIT)
    assert complaint(lambda: outcome.then(DEPOSITED, OPENED)) == (
        "Account.deposit decided Deposit(account_id='a1', amount=Decimal('5'))\n"
        "  expected 2 events\n"
        "    1 Deposited(account_id='a1', amount=Decimal('5'))\n"
        "    2 AccountOpened(account_id='a1', owner='ann')\n"
        "  it made  Deposited(account_id='a1', amount=Decimal('5'))"
    )


def test_a_refusal_in_place_of_events_says_why() -> None:
    outcome = given(Account, OPENED).when(Deposit(account_id="a1", amount=Decimal(-1)))
    assert complaint(lambda: outcome.then(DEPOSITED)).endswith(
        "it was refused with Rejected 'amount-not-positive': the amount must be positive"
    )


@pytest.mark.parametrize(
    "check",
    [
        lambda outcome: outcome.then_nothing(),
        lambda outcome: outcome.then_rejected("amount-not-positive"),
        lambda outcome: outcome.then_error(NotFoundError),
    ],
)
def test_events_in_place_of_something_else_are_shown(check: Callable[[Outcome], None]) -> None:
    assert "it made  Deposited(" in complaint(lambda: check(given(Account, OPENED).when(DEPOSIT)))


@pytest.mark.parametrize(
    "check",
    [
        lambda outcome: outcome.then_nothing(),
        lambda outcome: outcome.then_rejected("sold-out"),
        lambda outcome: outcome.then_error(NotFoundError),
    ],
)
def test_another_refusal_than_expected_is_shown(check: Callable[[Outcome], None]) -> None:
    outcome = given(Account, OPENED).when(Deposit(account_id="a1", amount=Decimal(-1)))
    assert "it was refused with Rejected 'amount-not-positive'" in complaint(lambda: check(outcome))


class Careless(Aggregate, key="account_id"):
    texts: list[str] = []
    total: Decimal = Decimal(0)

    @handle(creates=True)
    def note(self, command: Note) -> Iterator[Deposited]:
        self.texts.append("changed")
        self.total += 1
        if not command.texts:
            raise Rejected("no texts", code="no-texts")
        yield Deposited(account_id=command.account_id, amount=Decimal(1))


@pytest.mark.parametrize("texts", [["a"], []], ids=["and decides", "and refuses"])
def test_a_handler_that_changes_the_state_is_caught(texts: list[str]) -> None:
    said = complaint(lambda: given(Careless).when(Note(account_id="a1", texts=texts)))
    assert said == (
        "Careless.note changed texts from [] to ['changed'], total from '0' to '1'; a handler decides and changes "
        "nothing: return an event, and change the state in a method marked @apply"
    )


def deciding(made: Callable[[], Any]) -> type[Aggregate]:
    class Deciding(Aggregate, key="account_id"):
        @handle(creates=True)
        def note(self, command: Note) -> Deposited:
            return made()

    return Deciding


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Deposited(account_id="a1", amount=Decimal("NaN")), "which can't be recorded: event Deposited"),
        (lambda: Deposited(account_id="a1", amount=object()), "which can't be recorded: event Deposited"),  # pyright: ignore[reportArgumentType]
        (lambda: OPENED, "does not know this event's class"),
        (lambda: Deposited(account_id="a1", amount="5"), "which is read back as another: Deposited("),  # pyright: ignore[reportArgumentType]
    ],
)
def test_an_event_that_would_not_survive_the_log_is_caught(made: Callable[[], Any], said: str) -> None:
    failure = complaint(lambda: given(deciding(made)).when(Note(account_id="a1")))
    assert failure.startswith("Deciding.note made ")
    assert said in failure


def test_a_bug_in_a_handler_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        given(deciding(lambda: 1 / 0)).when(Note(account_id="a1"))


def test_a_bug_in_an_applier_names_the_event() -> None:
    class Failing(Aggregate, key="account_id"):
        @handle(creates=True)
        def note(self, command: Note) -> Deposited:
            return Deposited(account_id="a1", amount=Decimal(1))

        @apply
        def deposited(self, event: Deposited) -> None:
            raise ZeroDivisionError

    for story in (lambda: given(Failing).when(Note(account_id="a1")), lambda: given(Failing, DEPOSITED).when(NOTE)):
        with pytest.raises(ZeroDivisionError) as failure:
            story()
        assert "Deposited(account_id='a1'" in failure.value.__notes__[0]


NOTE = Note(account_id="a1")


def test_a_command_of_another_aggregate_is_caught() -> None:
    assert complaint(lambda: given(Account).when(NOTE)) == "Account handles OpenAccount, Deposit; not Note"


def test_more_ids_than_the_test_gave_are_caught() -> None:
    command = Note(account_id="a1", texts=["a", "b"])
    assert complaint(lambda: given(Notes).when(command, ids=["x"])) == (
        "the handler asked for one id more than the test gave: ids=['x']"
    )


# --- read models -----------------------------------------------------------------------------------------------------


class Closed(Event):
    account_id: str


class Seen(ReadModel, key=("account_id", "day")):
    account_id: str
    day: str
    times: int = 0
    last: datetime | None = None
    by: str = ""
    version: int = 0
    position: int = 0
    stream: str = ""

    @on(Deposited, key=lambda event: [(event.account_id, "mon"), (event.account_id, "tue")])
    def deposited(self, recorded: Recorded[Deposited]) -> None:
        self.times += 1
        self.last, self.by = recorded.recorded_at, recorded.metadata.actor
        self.version, self.position, self.stream = recorded.version, recorded.position, str(recorded.stream)

    @on(Closed, key=lambda event: (event.account_id, "mon"))
    def closed(self, event: Closed) -> None:
        self.delete()


def test_rows_are_told_by_given_events() -> None:
    story = given_events(OPENED, DEPOSITED, DEPOSITED)
    story.then_row(Balance, "a1", owner="ann", balance=Decimal(10))
    story.then_row(Balance, "a1")
    story.then_no_row(Balance, "a2")
    story.then_rows(Balance, 1)
    given_events().then_rows(Balance, 0)


def test_many_keys_composite_keys_and_deletions_are_folded() -> None:
    story = given_events(DEPOSITED, Closed(account_id="a1"))
    story.then_no_row(Seen, ("a1", "mon"))
    story.then_row(Seen, ("a1", "tue"), times=1)
    story.then_rows(Seen, 1)


def test_events_get_positions_and_versions_by_themselves() -> None:
    story = given_events(OPENED, DEPOSITED, recorded(DEPOSITED, stream="account-a1"))
    story.then_row(Seen, ("a1", "mon"), times=2, position=3, version=1, stream="account-a1", by="")
    given_events(OPENED, DEPOSITED).then_row(Seen, ("a1", "mon"), position=2, version=2, stream="test-1")


def test_time_and_metadata_of_an_event_are_the_tests_to_give() -> None:
    given_events(recorded(DEPOSITED, recorded_at=EIGHT, metadata=Metadata(actor="ann"))).then_row(
        Seen, ("a1", "tue"), last=EIGHT, by="ann"
    )


def test_another_value_than_expected_is_shown_with_the_row() -> None:
    story = given_events(OPENED, DEPOSITED)
    assert complaint(lambda: story.then_row(Balance, "a1", owner="ann", balance=Decimal(6))) == (
        "Balance 'a1' has other values\n"
        "  balance: expected Decimal('6'), found Decimal('5')\n"
        "  the row is Balance(account_id='a1', owner='ann', balance=Decimal('5'))"
    )


def test_a_missing_row_is_said_with_the_rows_that_there_are() -> None:
    assert complaint(lambda: given_events(OPENED).then_row(Balance, "a2")) == (
        "Balance has no row 'a2'; its rows are\n    Balance(account_id='a1', owner='ann', balance=Decimal('0'))"
    )
    assert complaint(lambda: given_events().then_row(Balance, "a2")) == "Balance has no row 'a2'; its rows are none"


def test_a_row_too_many_is_shown() -> None:
    assert "has a row 'a1': Balance(" in complaint(lambda: given_events(OPENED).then_no_row(Balance, "a1"))
    assert "expected 2 rows, found 1:\n" in complaint(lambda: given_events(OPENED).then_rows(Balance, 2))


def test_a_field_that_the_read_model_has_not_is_a_mistake_of_the_test() -> None:
    with pytest.raises(TypeError, match="Balance has no field 'balanse'"):
        given_events(OPENED).then_row(Balance, "a1", balanse=1)


def test_a_value_of_a_wrong_type_in_a_row_is_caught() -> None:
    class Sloppy(ReadModel, key="account_id"):
        account_id: str
        balance: Decimal = Decimal(0)

        @on(Deposited)
        def deposited(self, event: Deposited) -> None:
            self.balance = float(event.amount)  # pyright: ignore[reportAttributeAccessIssue]

    said = complaint(lambda: given_events(DEPOSITED).then_row(Sloppy, "a1"))
    assert "no store can keep Sloppy(account_id='a1', balance=5.0): balance can't hold '5.0'" in said


def test_an_event_that_a_read_model_cannot_take_is_raised_with_its_cause() -> None:
    class Failing(ReadModel, key="account_id"):
        account_id: str

        @on(Deposited)
        def deposited(self, event: Deposited) -> None:
            raise ZeroDivisionError

    with pytest.raises(UnfoldableEventError) as failure:
        given_events(OPENED, DEPOSITED).then_rows(Failing, 1)
    assert failure.value.position == 2
    assert isinstance(failure.value.__cause__, ZeroDivisionError)


def test_an_event_of_the_test_that_could_not_be_recorded_is_caught() -> None:
    sold = Deposited(account_id="a1", amount=Decimal("NaN"))
    assert "the test gave Deposited(" in complaint(lambda: given_events(sold))
    assert "the test gave Deposited(" in complaint(lambda: given(Account, sold))


# --- the clock -------------------------------------------------------------------------------------------------------


async def test_time_stands_still_until_the_test_moves_it() -> None:
    clock = TestClock(EIGHT)
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name, seconds in [("late", 10), ("early", 1), ("soon", 5)]:
            tasks.create_task(sleeper(name, seconds))
        await clock.until_sleeping(3)
        assert clock.now() == EIGHT
        clock.advance(5)
        assert clock.now() == EIGHT + timedelta(seconds=5)
        await clock.sleep(0)
        assert woken == ["early", "soon"]
        clock.advance(5)
    assert woken == ["early", "soon", "late"]


async def test_a_sleeper_that_is_cancelled_sleeps_no_more() -> None:
    clock = TestClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.until_sleeping()
    task.cancel()
    await asyncio.wait([task])
    clock.advance(1)
    with pytest.raises(TimeoutError):
        await clock.until_sleeping(timeout_s=0.01)


def test_a_clock_shows_utc_and_never_goes_back() -> None:
    clock = TestClock(datetime(2031, 2, 3, 9, tzinfo=timezone(timedelta(hours=1))))
    assert (clock.now(), clock.now().tzinfo) == (EIGHT, UTC)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="has no zone"):
        TestClock(datetime(2031, 2, 3))  # noqa: DTZ001 - that is the point


# --- a whole system --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "sqlite" else None


async def test_a_system_runs_in_the_test_from_command_to_query(folder: Path | None) -> None:
    async with running(app, folder=folder) as system:
        await system.send(OpenAccount(account_id="a1", owner="ann"))
        done = await system.send(DEPOSIT, command_id="k1")
        assert (str(done.stream), done.version, done.position, done.events) == ("account-a1", 2, 2, (DEPOSITED,))
        await system.settle()
        assert await system.ask(AccountsOf(owner="ann")) == [Balance(account_id="a1", owner="ann", balance=Decimal(5))]
    assert folder is None or (folder / "log.db").exists()


async def test_systems_in_memory_share_nothing() -> None:
    async with running(app) as one, running(app) as other:
        await one.send(OpenAccount(account_id="a1", owner="ann"))
        assert await other.log.head() == 0


async def test_a_system_on_files_goes_on_where_it_stood(tmp_path: Path) -> None:
    for number in range(2):
        async with running(app, folder=tmp_path) as system:
            await system.send(OpenAccount(account_id=f"a{number}", owner="ann"))
    async with running(app, folder=tmp_path) as system:
        await system.settle()
        assert len(await system.ask(AccountsOf(owner="ann"))) == 2


async def test_events_are_recorded_at_the_tests_time() -> None:
    async with running(app, clock=TestClock(EIGHT)) as system:
        await system.send(OpenAccount(account_id="a1", owner="ann"))
        system.clock.advance(90)
        await system.send(DEPOSIT)
        opened, deposited = [app.codec.recorded(stored) for stored in await system.log.read(START, 100)]
    assert (opened.recorded_at, deposited.recorded_at) == (EIGHT, EIGHT + timedelta(seconds=90))


async def test_other_settings_can_be_given_but_not_other_stores(tmp_path: Path) -> None:
    settings = Settings(max_waiting_commands=1, event_log=f"sqlite:///{tmp_path}/other.db", read_store="sqlite:///x.db")
    async with running(app, settings=settings) as system:
        assert (system.settings.max_waiting_commands, system.settings.event_log) == (1, "memory:")
    assert not list(tmp_path.iterdir())


async def test_settle_names_the_read_model_that_cannot_go_on() -> None:
    class Failing(ReadModel, key="account_id"):
        account_id: str

        @on(AccountOpened)
        def opened(self, event: AccountOpened) -> None:
            raise ZeroDivisionError("by zero")

    async with running(Application("failing", [Account, Failing])) as system:
        await system.send(OpenAccount(account_id="a1", owner="ann"))
        with pytest.raises(TimeoutError, match=r"Failing at 0, failed .*AccountOpened.*ZeroDivisionError: by zero"):
            await system.settle(timeout_s=0.2)
