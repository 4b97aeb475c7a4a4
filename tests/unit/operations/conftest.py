"""What tests of operations share: a running bank."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from examples.bank import OpenAccount, app
from twofold.testing import RunningSystem, running


@pytest.fixture
async def system() -> AsyncIterator[RunningSystem]:
    async with running(app) as system:
        yield system


async def open_accounts(system: RunningSystem, number: int) -> None:
    await asyncio.gather(
        *(system.send(OpenAccount(account_id=f"a{each}", owner="ann")) for each in range(1, number + 1))
    )
