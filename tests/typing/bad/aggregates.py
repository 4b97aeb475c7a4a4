# pyright: strict
"""What can't be declared of an aggregate."""

from decimal import Decimal

from twofold import Aggregate, Command, Context, Event, Metadata, apply, handle


class Deposit(Command):
    account_id: str
    amount: Decimal


class Deposited(Event):
    account_id: str
    amount: Decimal


class Account(Aggregate, key="account_id"):
    balance: Decimal = Decimal(0)

    @handle
    def deposit(self, command: Deposit) -> Deposited:
        command.amount = Decimal(1)  # E: reportAttributeAccessIssue, misc
        return Deposited(account_id="a1", amount=command.ammount)  # E: reportAttributeAccessIssue, attr-defined

    @handle
    def forgets(self, command: Deposit) -> Deposited:
        return None  # E: reportReturnType, return-value

    @handle  # E: reportArgumentType, type-var
    def returns_a_number(self, command: Deposit) -> int:
        return 1

    @handle  # E: reportArgumentType, type-var
    async def reads(self, command: Deposit) -> Deposited:
        return Deposited(account_id="a1", amount=Decimal(0))

    @handle(create=True)  # E: reportCallIssue, call-overload
    def opens(self, command: Deposit) -> Deposited:
        return Deposited(account_id="a1", amount=Decimal(0))

    @handle
    def asks(self, command: Deposit, context: Context) -> None:
        context.actor = "ann"  # E: reportAttributeAccessIssue, misc
        context.later()  # E: reportAttributeAccessIssue, attr-defined

    @apply
    def deposited(self, event: Deposited) -> None:
        self.balanse += event.amount  # E: reportUnknownMemberType, attr-defined
        self.balance = "many"  # E: reportAttributeAccessIssue, assignment

    @apply  # E: reportArgumentType, type-var
    def returns(self, event: Deposited) -> Deposited:
        return event

    @apply  # E: reportArgumentType, type-var
    async def waits(self, event: Deposited) -> None: ...


Account(Decimal(1))  # E: reportCallIssue, call-arg
Account(balance=1.5)  # E: reportArgumentType, arg-type
Metadata(actor=1)  # E: reportArgumentType, arg-type


class NoKey(Aggregate): ...  # E: reportCallIssue, call-arg


class WrongKey(Aggregate, key=7): ...  # E: reportArgumentType, arg-type


class Indexed(Aggregate, key="a", index=["b"]): ...  # E: reportCallIssue, call-arg


class WrongPolicy(Aggregate, key="a", snapshot_every="always"): ...  # E: reportArgumentType, arg-type
