"""What the event log holds, as operators see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from twofold.errors import UnknownStreamError
from twofold.messages import RawEvent, utc
from twofold.ports import EventLog
from twofold.streams import START, Position, StreamId

__all__ = ["EventLine", "count_by_type", "event_line", "events_after", "events_of"]

_PAGE_SIZE = 2_000
_LOOK_AGAIN_S = 1.0


class EventLine(msgspec.Struct, frozen=True, gc=False):
    """An event as operators see it: data and metadata are the stored JSON, untouched; the time is UTC."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: str
    data: msgspec.Raw
    metadata: msgspec.Raw


def event_line(stored: RawEvent) -> EventLine:
    return EventLine(
        stored.position,
        stored.stream,
        stored.version,
        stored.type,
        utc(stored.recorded_at_us).isoformat(timespec="microseconds"),
        msgspec.Raw(stored.data),
        msgspec.Raw(stored.metadata),
    )


async def events_after(
    log: EventLog, after: int = START, *, limit: int | None = None, follow: bool = False
) -> AsyncIterator[Sequence[RawEvent]]:
    """The log's events behind a position, in pages: at most `limit` in all, to the head or, following, for ever."""
    position = Position(after)
    left = limit
    while left is None or left > 0:
        page = await log.read(position, _PAGE_SIZE if left is None else min(left, _PAGE_SIZE))
        if page:
            yield page
            position = page[-1].position
            left = None if left is None else left - len(page)
        elif follow:
            await log.wait(position, _LOOK_AGAIN_S)
        else:
            return


async def events_of(log: EventLog, stream: StreamId) -> AsyncIterator[Sequence[RawEvent]]:
    """A stream's events in pages; UnknownStreamError when it has none."""
    version = 0
    while page := (await log.read_streams([(stream, version)], _PAGE_SIZE))[0]:
        yield page
        version = page[-1].version
    if not version:
        raise UnknownStreamError(str(stream), "the stream has no events", "check the category and the key")


async def count_by_type(log: EventLog, on_progress: Callable[[int], None] = lambda position: None) -> dict[str, int]:
    """How many events of each type the log holds, most first. `on_progress(position)` is called after every page."""
    counted: Counter[str] = Counter()
    async for page in events_after(log):
        counted.update([stored.type for stored in page])
        on_progress(page[-1].position)
    return dict(counted.most_common())
