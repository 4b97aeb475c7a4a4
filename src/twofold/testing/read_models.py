"""given/then for read models: which rows a story of events makes, without a system around it.

The events are encoded and folded by the code that the projector runs, and rows are compared as a store returns them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from twofold.codec import encode_json
from twofold.errors import UndecodableEventError
from twofold.messages import Event, Metadata, RawEvent, Recorded
from twofold.read_model import ReadModel, ReadModelType
from twofold.runtime.folding import fold_rows, touches
from twofold.stores.rows import as_key, as_row
from twofold.streams import Position, StreamId
from twofold.tables import Key
from twofold.testing.aggregates import codec_of
from twofold.testing.clocks import FIRST_NOON

__all__ = ["GivenEvents", "given_events", "recorded"]

E = TypeVar("E", bound=Event)

STREAM = StreamId("test", "1")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

read_model_type = cache(ReadModelType.of)


def recorded(
    event: E,
    /,
    *,
    stream: StreamId | str = STREAM,
    recorded_at: datetime = FIRST_NOON,
    metadata: Metadata | None = None,
) -> Recorded[E]:
    """An event with what handlers of recorded events look at. `given_events` gives it its version and position."""
    return Recorded(
        event=event,
        stream=StreamId.parse(stream) if isinstance(stream, str) else stream,
        version=0,
        position=Position(0),
        recorded_at=recorded_at,
        metadata=metadata or Metadata(),
    )


def given_events(*events: Event | Recorded[Event]) -> GivenEvents:
    """A log with these events: `given_events(AccountOpened(...)).then_row(Balance, "a1", owner="ann")`.

    Positions are 1, 2, 3 …, versions count by stream. Events that are not made with `recorded(...)` stand in the stream
    test-1 and were recorded at noon on 2030-01-01, without metadata.
    """
    return GivenEvents([each if isinstance(each, Recorded) else recorded(each) for each in events])


@dataclass(frozen=True, slots=True)
class _Rows:
    model: ReadModelType
    rows: Mapping[Key, ReadModel]

    def of(self, key: Any) -> ReadModel | None:
        return self.rows.get(as_key(self.model.table, self.model.as_key(key)))

    def __str__(self) -> str:
        return "".join(f"\n    {row}" for row in self.rows.values()) or " none"


class GivenEvents:
    """A log of events, and the rows that read models fold from it."""

    def __init__(self, events: Sequence[Recorded[Event]]) -> None:
        self._codec = codec_of(frozenset(type(each.event) for each in events))
        versions: Counter[StreamId] = Counter()
        self._log: list[RawEvent] = []
        for position, each in enumerate(events, start=1):
            versions[each.stream] += 1
            self._log.append(self._stored(each, versions[each.stream], Position(position)))

    def then_row(self, read_model: type[ReadModel], key: Any, /, **fields: Any) -> None:
        """There is a row of this key (a tuple where it is composite), whose fields named here have these values."""
        __tracebackhide__ = True
        found = self._folded(read_model)
        row = found.of(key)
        if row is None:
            raise AssertionError(f"{found.model.name} has no row {key!r}; its rows are{found}")
        wrong = [
            f"\n  {name}: expected {expected!r}, found {actual!r}"
            for name, expected in fields.items()
            if (actual := _value(row, name)) != expected
        ]
        if wrong:
            raise AssertionError(f"{found.model.name} {key!r} has other values{''.join(wrong)}\n  the row is {row}")

    def then_no_row(self, read_model: type[ReadModel], key: Any, /) -> None:
        """There is no row of this key: none was made, or it was deleted."""
        __tracebackhide__ = True
        found = self._folded(read_model)
        row = found.of(key)
        if row is not None:
            raise AssertionError(f"{found.model.name} has a row {key!r}: {row}")

    def then_rows(self, read_model: type[ReadModel], count: int, /) -> None:
        """There are so many rows."""
        __tracebackhide__ = True
        found = self._folded(read_model)
        if len(found.rows) != count:
            raise AssertionError(f"{found.model.name}: expected {count} rows, found {len(found.rows)}:{found}")

    def _folded(self, read_model: type[ReadModel]) -> _Rows:
        model = read_model_type(read_model)
        rows: dict[Key, ReadModel | None] = {}
        fold_rows(model, touches(model, self._codec, self._log), rows)
        kept = {key: _as_stored(model, row) for key, row in rows.items() if row is not None}
        return _Rows(model, {as_key(model.table, key): row for key, row in kept.items()})

    def _stored(self, each: Recorded[Event], version: int, position: Position) -> RawEvent:
        try:
            new, _ = self._codec.encode(each.event)
        except UndecodableEventError as error:
            raise AssertionError(f"the test gave {each.event}, which can't be recorded: {error}") from error
        recorded_at_us = (each.recorded_at - _EPOCH) // timedelta(microseconds=1)
        return RawEvent(position, str(each.stream), version, *new, encode_json(each.metadata), recorded_at_us)


def _as_stored(model: ReadModelType, row: ReadModel) -> ReadModel:
    """The row as it comes back from a store; AssertionError when its fields hold something else than they declare."""
    try:
        return model.from_row(as_row(model.table, model.to_row(row)))
    except Exception as error:
        raise AssertionError(
            f"{model.name}: no store can keep {row}: {error}; mend the handler that made it"
        ) from error


def _value(row: ReadModel, name: str) -> Any:
    if name not in row.__struct_fields__:
        raise TypeError(f"{type(row).__name__} has no field {name!r}")
    return getattr(row, name)
