"""The peer's bank behind Starlette: its calls block, so every command runs on Starlette's threads."""

import os
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgspec
from eventsourcing.persistence import IntegrityError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.eventsourcing_bank import Bank, sqlite

__all__ = ["app"]

ATTEMPTS = 20


class OpenAccount(msgspec.Struct):
    account_id: str
    owner: str


class Deposit(msgspec.Struct):
    account_id: str
    amount: Decimal


bank = Bank(env=sqlite(Path(os.environ["BENCHMARKS_PEER_DATABASE"])))
accounts: dict[str, UUID] = {}


async def home(request: Request) -> Response:
    return Response()


async def open_account(request: Request) -> Response:
    command = msgspec.json.decode(await request.body(), type=OpenAccount)
    accounts[command.account_id] = await run_in_threadpool(bank.open, command.owner)
    return Response()


async def deposit(request: Request) -> Response:
    command = msgspec.json.decode(await request.body(), type=Deposit)
    await run_in_threadpool(_deposit, accounts[command.account_id], command.amount)
    return Response()


def _deposit(account_id: UUID, amount: Decimal) -> None:
    """With another try after a lost race, which is left to its users."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            bank.deposit(account_id, amount)
        except IntegrityError:
            if attempt == ATTEMPTS:
                raise
        else:
            return


app = Starlette(
    routes=[
        Route("/", home),
        Route("/commands/OpenAccount", open_account, methods=["POST"]),
        Route("/commands/Deposit", deposit, methods=["POST"]),
    ]
)
