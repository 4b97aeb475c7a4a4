"""The newest events in memory."""

from twofold.messages import RawEvent
from twofold.stores.sqlite.tail import Tail
from twofold.streams import Position


def events(*positions: int, size: int = 2) -> list[RawEvent]:
    return [RawEvent(Position(each), "s-1", each, "E", 1, b"x" * size, b"", 0) for each in positions]


def test_a_tail_has_what_was_added_after_the_head_it_began_with() -> None:
    tail = Tail(Position(10))
    assert tail.read(Position(9), 5) is None
    assert tail.read(Position(10), 5) == []
    tail.add(events(11, 12, 13))
    assert tail.read(Position(10), 2) == events(11, 12)
    assert tail.read(Position(12), 5) == events(13)
    assert tail.read(Position(13), 5) == []
    assert tail.read(Position(20), 5) == []
    assert tail.read(Position(9), 5) is None


def test_a_tail_of_too_many_events_forgets_the_oldest() -> None:
    tail = Tail(Position(0), max_events=4)
    tail.add(events(1, 2, 3))
    tail.add(events(4, 5))
    assert tail.read(Position(0), 5) is None
    assert tail.read(Position(3), 5) == events(4, 5)


def test_a_tail_of_too_many_bytes_forgets_the_oldest() -> None:
    tail = Tail(Position(0), max_bytes=3_000)
    for position in range(1, 50):
        tail.add(events(position, size=1_000))
        assert tail.read(Position(position - 1), 5) == events(position, size=1_000)
    assert tail.read(Position(45), 5) is None


def test_an_event_larger_than_a_tail_is_forgotten_at_once() -> None:
    tail = Tail(Position(0), max_bytes=1_000)
    tail.add(events(1, size=5_000))
    assert tail.read(Position(0), 5) is None
    assert tail.read(Position(1), 5) == []
    tail.add(events(2))
    assert tail.read(Position(1), 5) == events(2)
