from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.unit.declared import module_of
from twofold import (
    Aggregate,
    AlreadyExistsError,
    Command,
    Context,
    DeclarationError,
    Event,
    Metadata,
    NotFoundError,
    apply,
    handle,
)
from twofold.aggregate import AggregateType
from twofold.streams import StreamId


class Open(Command):
    account_id: str


class Move(Command):
    account_id: str
    amounts: list[int]


class Close(Command):
    account_id: str


class Touch(Command):
    account_id: str


class Opened(Event):
    account_id: str
    at: datetime
    by: str
    number: str


class Moved(Event):
    account_id: str
    amount: int


class Closed(Event):
    account_id: str


class Account(Aggregate, key="account_id", snapshot_every=100):
    account_id: str
    balance: int = 0
    seen: list[str] = []

    @handle(creates=True)
    def open(self, command: Open, context: Context) -> Opened:
        return Opened(account_id=command.account_id, at=context.now, by=context.actor, number=context.new_id())

    @handle
    def move(self, command: Move) -> Iterator[Moved]:
        for amount in command.amounts:
            yield Moved(account_id=command.account_id, amount=amount)

    @handle
    def finish(self, command: Close | Touch) -> list[Moved | Closed] | None:
        if isinstance(command, Touch):
            return None
        return [Moved(account_id=command.account_id, amount=-self.balance), Closed(account_id=command.account_id)]

    @apply
    def moved(self, event: Moved | Closed) -> None:
        self.seen.append(type(event).__name__)
        if isinstance(event, Moved):
            self.balance += event.amount


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
KIND = AggregateType.of(Account)


def context() -> Context:
    return Context(now=NOON, metadata=Metadata(actor="ann"), new_id=lambda: "n1")


def decided(command: Command, state: Account | None = None) -> tuple[Event, ...]:
    return KIND.handlers[type(command)].decide(state or Account(account_id="a1"), command, context)


def test_a_handler_is_given_the_time_the_actor_and_ids() -> None:
    assert decided(Open(account_id="a1")) == (Opened(account_id="a1", at=NOON, by="ann", number="n1"),)


def test_a_handler_makes_one_event_many_or_none() -> None:
    assert decided(Move(account_id="a1", amounts=[1, 2])) == (
        Moved(account_id="a1", amount=1),
        Moved(account_id="a1", amount=2),
    )
    assert decided(Move(account_id="a1", amounts=[])) == ()
    assert decided(Touch(account_id="a1")) == ()


def test_one_method_handles_a_union_of_commands() -> None:
    closing = decided(Close(account_id="a1"), Account(account_id="a1", balance=3))
    assert closing == (Moved(account_id="a1", amount=-3), Closed(account_id="a1"))


def test_one_method_applies_a_union_of_events() -> None:
    state = KIND.initial("a1")
    for event in (Moved(account_id="a1", amount=3), Closed(account_id="a1")):
        KIND.apply(state, event)
    assert state == Account(account_id="a1", balance=3, seen=["Moved", "Closed"])


def test_an_event_that_nothing_applies_leaves_the_state_as_it_is() -> None:
    state = KIND.initial("a1")
    KIND.apply(state, Opened(account_id="a1", at=NOON, by="", number=""))
    assert state == KIND.initial("a1")


def test_states_of_two_streams_share_nothing() -> None:
    one = KIND.initial("a1")
    KIND.apply(one, Moved(account_id="a1", amount=3))
    assert KIND.initial("a2") == Account(account_id="a2")


def test_the_events_of_an_aggregate_are_those_it_makes_or_applies() -> None:
    assert KIND.events == {Opened, Moved, Closed}


def test_only_a_creating_command_opens_a_stream() -> None:
    opening, moving = KIND.handlers[Open], KIND.handlers[Move]
    stream = StreamId("account", "a1")
    opening.check_start(stream, 0)
    moving.check_start(stream, 1)
    with pytest.raises(AlreadyExistsError):
        opening.check_start(stream, 1)
    with pytest.raises(NotFoundError):
        moving.check_start(stream, 0)


def test_the_stream_is_named_by_class_or_keyword_and_the_commands_key() -> None:
    module = module_of(
        """
        class Account(Aggregate, key="account_id", name="konto"):
            @handle(creates=True)
            def open(self, command: OpenAccount) -> AccountOpened:
                return AccountOpened(account_id=command.account_id, owner=command.owner)
        """
    )
    handler = AggregateType.of(module.Account).handlers[module.OpenAccount]
    assert str(handler.stream(module.OpenAccount(account_id="a-1", owner="ann"))) == "konto-a-1"
    assert str(KIND.handlers[Open].stream(Open(account_id="a1"))) == "account-a1"


def test_a_field_of_the_keys_name_is_filled_with_the_key_in_its_own_type() -> None:
    module = module_of(
        """
        class Begin(Command):
            job: UUID

        class Begun(Event):
            job: UUID

        class Job(Aggregate, key="job"):
            job: UUID

            @handle(creates=True)
            def begin(self, command: Begin) -> Begun:
                return Begun(job=self.job)
        """
    )
    key = UUID("12345678-1234-5678-1234-567812345678")
    assert AggregateType.of(module.Job).initial(str(key)).job == key  # pyright: ignore[reportAttributeAccessIssue]
    assert Account(account_id="a1") == KIND.initial("a1")


@pytest.mark.parametrize(
    "returned", [3, "text", [Open(account_id="a1")], {"account_id": "a1"}], ids=lambda value: type(value).__name__
)
def test_what_is_no_event_is_no_decision(returned: Any) -> None:
    class Broken(Aggregate, key="account_id"):
        @handle(creates=True)
        def open(self, command: Open) -> Closed:
            return returned

    with pytest.raises(TypeError):
        AggregateType.of(Broken).handlers[Open].decide(Broken(), Open(account_id="a1"), context)


# --- fingerprints ----------------------------------------------------------------------------------------------------

COUNTER = """
class Counter(Aggregate, key="account_id", snapshot_every=1):
    total: Decimal = Decimal(0)

    @apply
    def deposited(self, event: Deposited) -> None:
        self.total += event.amount
"""


def test_a_states_fingerprint_changes_with_its_fields_and_appliers_alone() -> None:
    def of(code: str) -> str:
        return AggregateType.of(module_of(code).Counter).fingerprint

    first = of(COUNTER)
    assert of(COUNTER) == first
    handler = "    @handle\n    def deposit(self, command: Deposit) -> Deposited: return []\n"
    assert of(COUNTER.replace("    @apply", handler + "\n    @apply")) == first
    for old, new in [("+=", "-="), ("Decimal(0)", "Decimal(1)"), ("total", "sum"), ("total: Decimal", "total: Any")]:
        assert of(COUNTER.replace(old, new)) != first, (old, new)
    assert of(COUNTER.replace("    @apply", "    _hidden: int = 0\n\n    @apply")) != first


# --- what is declared wrongly ----------------------------------------------------------------------------------------

METHOD = 'class Wrong(Aggregate, key="account_id"):\n    balance: Decimal = Decimal(0)\n    '

WRONG_CLASSES = {
    "class Wrong(Aggregate): ...": 'Wrong: an aggregate needs a key; write class Wrong(Aggregate, key="..._id")',
    "class Wrong(Aggregate, key=3): ...": 'Wrong: an aggregate needs a key; write class Wrong(Aggregate, key="..._id")',
    "class Wrong(Aggregate, key='a', index=['b']): ...": (
        "Wrong: 'index' is no keyword of an aggregate; there are ('key', 'name', 'snapshot_every')"
    ),
    "class Wrong(Aggregate, key='a', snapshot_every=0): ...": (
        "Wrong: snapshot_every=0 counts events; use a number from 1, or None"
    ),
    "class Wrong(Aggregate, key='a', name='my-account'): ...": (
        "Wrong: name='my-account' can't name streams; use letters, digits and underscores"
    ),
}

WRONG_APPLICATIONS = {
    "class Wrong(Aggregate, key='account_id'):\n    balance: int": (
        "Wrong.balance has no default; every field of an aggregate but its key needs one"
    ),
    "class Wrong(Aggregate, key='account_id', snapshot_every=1):\n    state: object = None": (
        "Wrong.state: JSON can't hold <class 'object'>; use plain values, enums of text or of whole numbers, "
        "dataclasses, and lists and dicts of them"
    ),
    METHOD + "@handle\n    def deposit(self) -> Deposited: ...": (
        "Wrong.deposit: takes 0 parameters beside self; take a command, perhaps a Context"
    ),
    METHOD + "@handle\n    def deposit(self, command: Deposit, context: Context, more: int) -> Deposited: ...": (
        "Wrong.deposit: takes 3 parameters beside self; take a command, perhaps a Context"
    ),
    METHOD + "@handle\n    def deposit(self, command) -> Deposited: ...": (
        "Wrong.deposit: the parameter 'command' has no annotation; annotate it with its type"
    ),
    METHOD + "@handle\n    def deposit(self, command: Deposited) -> Deposited: ...": (
        "Wrong.deposit: the first parameter must be annotated with a command (or a union of them)"
    ),
    METHOD + "@handle\n    def deposit(self, command: Deposit, now: datetime) -> Deposited: ...": (
        "Wrong.deposit: the second parameter can only be a Context; annotate it so, or drop it"
    ),
    METHOD + "@handle\n    def deposit(self, command: Deposit): ...": (
        "Wrong.deposit: annotate what it returns with its events, for example -> OrderPlaced | None"
    ),
    METHOD + "@handle\n    def deposit(self, command: Deposit) -> Event: ...": (
        "Wrong.deposit: annotate what it returns with its events, for example -> OrderPlaced | None"
    ),
    METHOD + "@handle\n    def deposit(self, command: Deposit) -> list[int]: ...": (
        "Wrong.deposit: annotate what it returns with its events, for example -> OrderPlaced | None"
    ),
    METHOD + "@handle\n    async def deposit(self, command: Deposit) -> Deposited: ...": (
        "Wrong.deposit: is asynchronous, but may do no I/O; write def instead of async def"
    ),
    METHOD.replace("account_id", "sku") + "@handle\n    def deposit(self, command: Deposit) -> Deposited: ...": (
        "Wrong.deposit: Deposit has no field 'sku', the key of Wrong; add it to the command"
    ),
    (
        "class Nobody(Command):\n    account_id: str | None = None\n"
        + METHOD
        + "@handle\n    def deposit(self, command: Nobody) -> Deposited: ..."
    ): "Wrong.deposit: Nobody.account_id is the key of Wrong and may be None; annotate it without None",
    (
        METHOD
        + "@handle\n    def deposit(self, command: Deposit) -> Deposited: ...\n"
        + "    @handle\n    def put(self, command: Deposit) -> Deposited: ..."
    ): "Wrong.put: Deposit has a method already; one method for each",
    (
        METHOD
        + "@apply\n    def deposited(self, event: Deposited) -> None: ...\n"
        + "    @apply\n    def put(self, event: Deposited) -> None: ..."
    ): "Wrong.put: Deposited has a method already; one method for each",
    METHOD + "@apply\n    def deposited(self, event: Deposit) -> None: ...": (
        "Wrong.deposited: the parameter must be annotated with an event (or a union of them)"
    ),
    METHOD + "@apply\n    def deposited(self, event: Event) -> None: ...": (
        "Wrong.deposited: the parameter must be annotated with an event (or a union of them)"
    ),
    METHOD + "@apply\n    def deposited(self, event: Deposited, more: int) -> None: ...": (
        "Wrong.deposited: takes 2 parameters beside self; take an event"
    ),
    METHOD + "@apply\n    async def deposited(self, event: Deposited) -> None: ...": (
        "Wrong.deposited: is asynchronous, but may do no I/O; write def instead of async def"
    ),
    METHOD + "@apply\n    def deposited(self, event: Deposited) -> None: yield": (
        "Wrong.deposited: yields, but nobody takes what it yields; change self and return nothing"
    ),
}


def test_a_default_that_all_aggregates_would_share_is_refused_with_the_cure() -> None:
    with pytest.raises(DeclarationError, match=r"^Wrong: .*\['a'\].*configure a `default_factory`"):
        module_of("class Wrong(Aggregate, key='account_id'): lines: list[str] = ['a']")


@pytest.mark.parametrize(("code", "sentence"), WRONG_CLASSES.items())
def test_an_aggregate_declared_wrongly_fails_when_its_class_is_made(code: str, sentence: str) -> None:
    with pytest.raises(DeclarationError) as mistake:
        module_of(code)
    assert str(mistake.value) == sentence


@pytest.mark.parametrize(("code", "sentence"), WRONG_APPLICATIONS.items())
def test_an_aggregate_declared_wrongly_fails_when_its_application_is_made(code: str, sentence: str) -> None:
    module = module_of(code)
    with pytest.raises(DeclarationError) as mistake:
        module.Application("bank", [module.Wrong])
    assert str(mistake.value) == sentence


def test_decimals_in_a_state_stay_exact() -> None:
    module = module_of(COUNTER)
    kind = AggregateType.of(module.Counter)
    state: Any = kind.initial("a1")
    for _ in range(3):
        kind.apply(state, module.Deposited(account_id="a1", amount=Decimal("0.1")))
    assert state.total == Decimal("0.3")
