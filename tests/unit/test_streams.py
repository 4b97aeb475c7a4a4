import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import Position, StreamId
from twofold.errors import InvalidKeyError
from twofold.streams import MAX_KEY_LENGTH, START

PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=MAX_KEY_LENGTH)


@given(PRINTABLE)
def test_a_stream_is_read_from_what_it_is_written_as(key: str) -> None:
    stream = StreamId.of("account", key)
    assert StreamId.parse(str(stream)) == stream


def test_the_first_hyphen_divides_category_and_key() -> None:
    assert StreamId.parse("account-a-1") == StreamId("account", "a-1")
    assert str(StreamId("account", "a-1")) == "account-a-1"


def test_a_key_that_is_no_text_is_written_as_one() -> None:
    assert StreamId.of("order", 7) == StreamId("order", "7")


@pytest.mark.parametrize("text", ["account", "account-", "-a1", "-", ""])
def test_what_names_no_stream_is_refused(text: str) -> None:
    with pytest.raises(InvalidKeyError):
        StreamId.parse(text)


@pytest.mark.parametrize("key", ["", "x" * (MAX_KEY_LENGTH + 1), "a\nb", "a\x00", "\ud800", "a\u2028b", "\u202e"])
def test_a_key_that_could_not_be_written_down_is_refused(key: str) -> None:
    with pytest.raises(InvalidKeyError) as refusal:
        StreamId.of("account", key)
    assert refusal.value.key == key
    assert "nothing was done" in str(refusal.value)


def test_a_refused_key_is_cut_short_in_the_error() -> None:
    with pytest.raises(InvalidKeyError) as refusal:
        StreamId.of("account", "x" * 10_000)
    assert len(str(refusal.value)) < 300
    assert "10000 characters" in str(refusal.value)


def test_positions_compare_print_and_parse() -> None:
    assert START < Position(1) < Position(10)
    assert Position(int(str(Position(10)))) == Position(10)
