"""The bank of the examples, and read models of it in eight partitions: one remembers every event that it was given."""

from decimal import Decimal

from examples.bank import Account, AccountOpened, Balance, Deposited, accounts_of
from twofold import Application, Query, ReadModel, Recorded, View, answer, on

PARTITIONS = 8


class PartedBalance(ReadModel, key="account_id", partitions=PARTITIONS):
    """The example's balance, which any number of projectors can share."""

    account_id: str
    balance: Decimal = Decimal(0)

    @on(AccountOpened)
    def opened(self, event: AccountOpened) -> None: ...

    @on(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class Journal(ReadModel, key="account_id", partitions=PARTITIONS):
    """The positions that were folded into the row, in their order: whatever comes twice or not at all shows."""

    account_id: str
    positions: list[int] = []

    @on(AccountOpened)
    def opened(self, recorded: Recorded[AccountOpened]) -> None:
        self.positions.append(recorded.position)

    @on(Deposited)
    def deposited(self, recorded: Recorded[Deposited]) -> None:
        self.positions.append(recorded.position)


class BalanceOf(Query[Decimal]):
    account_id: str


class PositionsOf(Query[list[int]]):
    account_id: str


@answer
async def positions_of(query: PositionsOf, journals: View[Journal]) -> list[int]:
    journal = await journals.get(query.account_id)
    return journal.positions if journal else []


class LastPositionOf(Query[int]):
    """Short, for load: the last position that was folded into the account's row; 0 when there is none."""

    account_id: str


@answer
async def last_position_of(query: LastPositionOf, journals: View[Journal]) -> int:
    journal = await journals.get(query.account_id)
    return journal.positions[-1] if journal else 0


@answer
async def balance_of(query: BalanceOf, balances: View[PartedBalance]) -> Decimal:
    row = await balances.get(query.account_id)
    return row.balance if row else Decimal(0)


app = Application(
    "bank", [Account, Balance, accounts_of, PartedBalance, balance_of, Journal, positions_of, last_position_of]
)
