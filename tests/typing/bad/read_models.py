# pyright: strict
"""What can't be declared of a read model."""

from decimal import Decimal

from twofold import Command, Event, ReadModel, Recorded, on, upcast


class Deposit(Command):
    account_id: str


class Deposited(Event, version=2):
    account_id: str
    amount: Decimal


class Opened(Event):
    account_id: str
    owner: str


class Balance(ReadModel, key="account_id"):
    account_id: str
    owner: str = ""
    balance: Decimal = Decimal(0)

    @on(Deposited)  # E: reportCallIssue, arg-type
    def other_event(self, event: Opened) -> None: ...

    @on(Deposited)  # E: reportCallIssue, arg-type
    def other_recorded(self, recorded: Recorded[Opened]) -> None: ...

    @on(Deposited)  # E: reportCallIssue, arg-type
    def other_event_with_key(self, event: Opened, key: str) -> None: ...

    @on(Deposited)  # E: reportCallIssue, arg-type
    def returns(self, event: Deposited) -> Decimal:
        return event.amount

    @on(Deposited)  # E: reportCallIssue, arg-type
    async def waits(self, event: Deposited) -> None: ...

    @on(Deposited)  # E: reportCallIssue, arg-type
    def no_event(self) -> None: ...

    @on(Deposited)  # E: reportCallIssue, arg-type
    def too_much(self, event: Deposited, key: str, more: int) -> None: ...

    @on(Deposit)  # E: reportArgumentType, type-var
    def a_command(self, event: Deposit) -> None: ...

    @on(Deposited, key=7)  # E: reportArgumentType, arg-type
    def no_key(self, event: Deposited) -> None: ...

    @on(Deposited, key=lambda event: event.owner)  # E: reportAttributeAccessIssue, attr-defined
    def no_such_field(self, event: Deposited) -> None: ...

    @on(Opened)
    def opened(self, event: Opened) -> None:
        self.ownr = event.owner  # E: -, - (they take it for a new attribute; at run time it is an AttributeError)
        self.owner = 7  # E: reportAttributeAccessIssue, assignment
        event.owner = "bob"  # E: reportAttributeAccessIssue, misc
        self.delete("now")  # E: reportCallIssue, call-arg


class NoKey(ReadModel):  # E: reportCallIssue, call-arg
    account_id: str


class WrongKey(ReadModel, key=7):  # E: reportArgumentType, arg-type
    account_id: str


class Misspelt(ReadModel, key="account_id", idnex=["owner"]):  # E: reportCallIssue, call-arg
    account_id: str


class WrongIndex(ReadModel, key="account_id", index=[7]):  # E: reportArgumentType, list-item
    account_id: str


class WrongPartitions(ReadModel, key="account_id", partitions="8"):  # E: reportArgumentType, arg-type
    account_id: str


@upcast(Deposit, from_version=1)  # E: reportArgumentType, arg-type
def of_a_command(data: dict[str, object]) -> dict[str, object]:
    return data


@upcast(Deposited, from_version=1)  # E: reportArgumentType, arg-type
def of_text(data: str) -> str:
    return data
