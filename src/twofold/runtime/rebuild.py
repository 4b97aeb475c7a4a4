"""Rebuild a read model from position 1 beside the live one, and switch when it has caught up.

Queries are answered from the old rows until the switch, which is one transaction; the other read models go on.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

from twofold.application import Application
from twofold.ports import EventLog, ReadStore
from twofold.runtime.folding import Folder
from twofold.runtime.projector import Projector
from twofold.runtime.subscription import Subscription
from twofold.settings import Settings
from twofold.streams import START

__all__ = ["rebuild"]


async def rebuild(
    app: Application,
    projector: Projector,
    log: EventLog,
    store: ReadStore,
    settings: Settings,
    on_progress: Callable[[int, int], None],
) -> int:
    """Fold the whole log into a new table and put it in the live one's place; returns the position reached.

    `on_progress(position, head)` is called after every page. Whatever fails leaves the live rows as they are.
    """
    live = projector.model.table
    side = dataclasses.replace(live, read_model=f"{live.read_model}~rebuild", name=f"{live.name}__rebuild")
    folder = Folder(projector.model, side, app.codec, store)
    await folder.open(restart=True)
    subscription = Subscription(log, START, page_size=settings.page_size, poll_s=settings.poll_s)
    head = await log.head()
    while await _fold_next(subscription, folder):
        on_progress(folder.position, max(head, folder.position))
        await asyncio.sleep(0)
    async with projector.turn:
        while await _fold_next(subscription, folder):
            pass
        await folder.save_position()
        projector.take_over(await store.promote(side, live))
    return folder.position


async def _fold_next(subscription: Subscription, folder: Folder) -> bool:
    page = await subscription.next_page()
    if page:
        await folder.fold(page, save_always=False)
        subscription.moved_to(folder.position)
    return bool(page)
