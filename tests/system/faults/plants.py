"""Bugs to be planted in services, to see whether the audit catches them."""

import asyncio
from collections.abc import Sequence

from twofold.ports import Fold, ReadStore, Share

__all__ = ["save_in_two_transactions"]


def save_in_two_transactions(store: type[ReadStore]) -> None:
    """Let it save rows in one transaction, and their checkpoint in the next one."""
    save = store.save

    async def saved(self: ReadStore, fold: Fold) -> Sequence[Share]:
        behind = min(share.position for share in fold.shares)
        shares = await save(self, fold._replace(through=behind)) if fold.rows else fold.shares
        await asyncio.sleep(0.02)
        return await save(self, fold._replace(shares=shares, rows=(), deleted=()))

    store.save = saved
