# pyright: strict
"""What can't be done with messages."""

from decimal import Decimal

from twofold import Command, Event, Query


class Deposit(Command):
    account_id: str
    amount: Decimal = Decimal(0)


class Deposited(Event, version=2):
    account_id: str


class Count(Query[int]):
    owner: str


Deposit()  # E: reportCallIssue, call-arg
Deposit(account_id=7)  # E: reportArgumentType, arg-type
Deposit(account_id="a1", amout=Decimal(1))  # E: reportCallIssue, call-arg
Deposit("a1")  # E: reportCallIssue, call-arg
Deposited(account_id="a1").account_id = "a2"  # E: reportAttributeAccessIssue, misc
Deposit(account_id="a1").amount += 1  # E: reportAttributeAccessIssue, misc
Count(owner="ann").owner = "bob"  # E: reportAttributeAccessIssue, misc
print(Deposited(account_id="a1").account)  # E: reportAttributeAccessIssue, attr-defined


class Misspelt(Command, nmae="x"): ...  # E: reportCallIssue, call-arg


class WrongName(Command, name=7): ...  # E: reportArgumentType, arg-type


class CommandsHaveNoVersion(Command, version=2): ...  # E: reportCallIssue, call-arg


class WrongVersion(Event, version="2"): ...  # E: reportArgumentType, arg-type


class QueriesHaveNoKey(Query[int], key="x"): ...  # E: reportCallIssue, call-arg
