"""The service with a bug planted: rows are saved in one transaction, and their checkpoint in the next one."""

import asyncio

from twofold.cli import main
from twofold.ports import Fold
from twofold.stores.sqlite.read_store import SqliteReadStore

save = SqliteReadStore.save


async def save_in_two_transactions(self: SqliteReadStore, fold: Fold) -> None:
    await save(self, fold._replace(through=fold.after))
    await asyncio.sleep(0.02)
    await save(self, fold._replace(rows=(), deleted=()))


SqliteReadStore.save = save_in_two_transactions
main()
