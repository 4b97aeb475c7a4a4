"""Live aggregates: a bounded cache, and loading from snapshot and events.

A cached state may be stale when another process appends to its stream. That is safe: every append compares the version.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from twofold.aggregate import Aggregate, AggregateType
from twofold.codec import EventCodec, encode_json
from twofold.errors import TwofoldError
from twofold.ports import EventLog, Snapshot, Snapshots
from twofold.runtime.lanes import Lane
from twofold.streams import StreamId

__all__ = ["Aggregates"]

_LOAD_PAGE = 5_000

logger = structlog.get_logger("twofold.aggregates")


class Aggregates:
    """Lanes by stream: all that have work, and the least recently used of the idle ones up to `cache_size`."""

    def __init__(self, log: EventLog, snapshots: Snapshots, codec: EventCodec, *, cache_size: int) -> None:
        self._log, self._snapshots, self._codec, self._cache_size = log, snapshots, codec, cache_size
        self._lanes: OrderedDict[StreamId, Lane] = OrderedDict()

    def lane(self, aggregate: AggregateType, stream: StreamId) -> Lane:
        lane = self._lanes.get(stream)
        if lane is None:
            self._evict()
            lane = self._lanes[stream] = Lane(aggregate, stream)
        else:
            self._lanes.move_to_end(stream)
        return lane

    def _evict(self) -> None:
        """Make room for one: looks at a few of the oldest, so that a crowd of busy lanes costs no scan."""
        for _ in range(min(4, len(self._lanes) - self._cache_size + 1)):
            stream, lane = next(iter(self._lanes.items()))
            if lane.busy or lane.waiting:
                self._lanes.move_to_end(stream)
            else:
                del self._lanes[stream]

    async def load(self, lanes: Sequence[Lane]) -> None:
        """Fill the lanes' states from snapshots and events. UndecodableEventError when an event can't be read."""
        states = await self._initial(lanes)
        wanted = list(lanes)
        while wanted:
            reads = [(lane.stream, states[lane.stream][1]) for lane in wanted]
            pages = await self._log.read_streams(reads, _LOAD_PAGE)
            more: list[Lane] = []
            for lane, page in zip(wanted, pages, strict=True):
                state, version = states[lane.stream]
                for stored in page:
                    lane.aggregate.apply(state, self._codec.decode(stored))
                states[lane.stream] = state, version + len(page)
                if len(page) == _LOAD_PAGE:
                    more.append(lane)
            wanted = more
        for lane in lanes:
            lane.state, lane.version = states[lane.stream]

    async def _initial(self, lanes: Sequence[Lane]) -> dict[StreamId, tuple[Aggregate, int]]:
        """What is known without reading events: the last durable state in memory, a snapshot, or nothing."""
        states: dict[StreamId, tuple[Aggregate, int]] = {}
        for lane in lanes:
            if lane.base is not None:
                states[lane.stream], lane.base = lane.base, None
        return states | await self._stored([lane for lane in lanes if lane.stream not in states])

    async def _stored(self, lanes: Sequence[Lane]) -> dict[StreamId, tuple[Aggregate, int]]:
        kept = [lane.stream for lane in lanes if lane.aggregate.snapshot_every is not None]
        snapshots: Mapping[StreamId, Snapshot] = await self._snapshots.load_snapshots(kept) if kept else {}
        states: dict[StreamId, tuple[Aggregate, int]] = {}
        for lane in lanes:
            found = _restored(lane.aggregate, snapshots.get(lane.stream))
            states[lane.stream] = found or (lane.aggregate.initial(lane.stream.key), 0)
            lane.snapshot_version = found[1] if found else 0
        return states

    def snapshots_of(self, lanes: Sequence[Lane]) -> dict[StreamId, Snapshot]:
        """The lanes' states as they are now, of which every event must be in the log."""
        snapshots: dict[StreamId, Snapshot] = {}
        for lane in lanes:
            lane.snapshot_version = lane.version
            try:
                snapshots[lane.stream] = Snapshot(lane.version, lane.aggregate.fingerprint, encode_json(lane.state))
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                logger.warning("snapshot-failed", stream=str(lane.stream), error=str(error))
        return snapshots

    async def save_snapshots(self, snapshots: Mapping[StreamId, Snapshot]) -> None:
        """Store the snapshots; a failure is logged and not raised, since a lost one costs time and nothing else."""
        try:
            await self._snapshots.save_snapshots(snapshots)
        except TwofoldError as error:
            logger.warning("snapshot-failed", streams=[str(stream) for stream in snapshots], error=str(error))


def _restored(aggregate: AggregateType, snapshot: Snapshot | None) -> tuple[Aggregate, int] | None:
    """State and version from a snapshot, unless other code made it or it can't be read."""
    if snapshot is None or snapshot.fingerprint != aggregate.fingerprint:
        return None
    try:
        return msgspec.json.decode(snapshot.state, type=aggregate.cls), snapshot.version
    except msgspec.MsgspecError as error:
        logger.warning("snapshot-unreadable", aggregate=aggregate.name, error=str(error))
        return None
