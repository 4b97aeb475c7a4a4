"""The event log as pages in order, each event once, at the reader's own pace and in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.errors import CorruptStoreError
from twofold.messages import RawEvent
from twofold.ports import EventLog
from twofold.streams import Position

__all__ = ["Subscription"]

_FIRST_PAGE = 64
_PAGE_BYTES = 4_000_000


class Subscription:
    """Reads on from a position. The page size follows the size of events: about 4 MB, at most `page_size` events.

    `was_full` says that the last page was as large as it could be: there may be much more.
    """

    def __init__(self, log: EventLog, after: Position, *, page_size: int, poll_s: float) -> None:
        self._log, self.after, self._page_size, self._poll_s = log, after, page_size, poll_s
        self._limit = min(_FIRST_PAGE, page_size)
        self.was_full = False

    async def next_page(self, until: Position | None = None) -> Sequence[RawEvent]:
        """The next events, or none when the log's head is reached; none beyond `until`.

        `moved_to` tells the subscription to go on.
        """
        limit = self._limit if until is None else min(self._limit, until - self.after)
        page = await self._log.read(self.after, limit)
        self.was_full = len(page) == limit
        if page:
            self._check_dense(page)
            self._adapt(page)
        return page

    def moved_to(self, position: Position) -> None:
        """Everything up to the position is done with."""
        self.after = position

    async def wait(self) -> None:
        """Sleep until there may be something to read."""
        await self._log.wait(self.after, self._poll_s)

    def _check_dense(self, page: Sequence[RawEvent]) -> None:
        """A gap would be an event lost for ever; both ends tell, since positions rise within a page."""
        if page[0].position != self.after + 1 or page[-1].position != self.after + len(page):
            raise CorruptStoreError(
                "event log",
                f"after position {self.after} came {len(page)} events from {page[0].position} to {page[-1].position}",
                'positions must be dense: run "twofold doctor" and restore the log from a backup',
            )

    def _adapt(self, page: Sequence[RawEvent]) -> None:
        size = sum([len(each.data) for each in page])
        if size > _PAGE_BYTES:
            self._limit = max(1, self._limit // 2)
        elif len(page) == self._limit and size < _PAGE_BYTES // 2:
            self._limit = min(self._page_size, self._limit * 2)
