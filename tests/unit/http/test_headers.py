import pytest

from twofold.errors import InvalidCommandIdError
from twofold.http.headers import (
    MAX_WAIT_S,
    Conversation,
    by_name,
    check_json,
    command_id,
    conversation,
    cookie_position,
    expected_version,
    timeout_s,
    wait_s,
    wanted_position,
)
from twofold.http.problems import InvalidHeaderError, UnsupportedMediaTypeError
from twofold.trace_context import TraceContext


def test_a_repeated_header_is_one_value_with_commas() -> None:
    assert by_name([(b"if-match", b'"1"'), (b"a", b"x"), (b"if-match", b'"2"')]) == {
        b"if-match": b'"1", "2"',
        b"a": b"x",
    }


@pytest.mark.parametrize(("value", "version"), [(b'"3"', 3), (b'W/"3"', 3), (b' "0" ', 0)])
def test_if_match_is_the_version_in_quotes(value: bytes, version: int) -> None:
    assert expected_version({b"if-match": value}) == version


@pytest.mark.parametrize(
    "value", [b"*", b"3", b'""', b'"x"', b'"1", "2"', b'"-1"', b'"1', b"", b'w/"3"', b'"' + b"9" * 30 + b'"']
)
def test_another_if_match_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidHeaderError, match="If-Match"):
        expected_version({b"if-match": value})


@pytest.mark.parametrize(("value", "seconds"), [(b"2", 2.0), (b" 2.5 ", 2.5), (b"0", 0.0)])
def test_request_timeout_is_seconds(value: bytes, seconds: float) -> None:
    assert timeout_s({b"request-timeout": value}) == seconds
    assert timeout_s({}) is None


@pytest.mark.parametrize("value", [b"", b"-1", b"2s", b"1e3", b".5", b"5.", b"inf", b"1, 2", b"9" * 30])
def test_another_request_timeout_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidHeaderError, match="Request-Timeout"):
        timeout_s({b"request-timeout": value})


def test_without_if_match_no_version_is_expected() -> None:
    assert expected_version({}) is None


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"1.5", b"0x10", b"9" * 19, "١".encode()])
def test_a_wanted_position_without_meaning_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidHeaderError, match="Twofold-After"):
        wanted_position({b"twofold-after": value})


@pytest.mark.parametrize(
    ("value", "position"),
    [
        (b"twofold-position=17", 17),
        (b"session=x; twofold-position=17; theme=dark", 17),
        (b"a=1;twofold-position=0", 0),
        (b"a=1, twofold-position=17", 17),
        (b"not-twofold-position=17", None),
        (b"twofold-position=", None),
        (b"twofold-position=x", None),
        (b"twofold-position=-1", None),
        (b"twofold-position=17x", None),
        (b"twofold-position=" + b"9" * 19, None),
        (b"\xff\xfe", None),
    ],
)
def test_a_cookie_without_meaning_is_no_wish(value: bytes, position: int | None) -> None:
    assert cookie_position({b"cookie": value}) == position
    assert cookie_position({}) is None


def test_the_wanted_position_is_a_number() -> None:
    assert wanted_position({b"twofold-after": b"17"}) == 17
    assert wanted_position({}) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"wait=5", 5),
        (b"respond-async, wait=10; foo", 10),
        (b'WAIT = "7"', 7),
        (b"wait=0", 0),
        (b"wait=999999", MAX_WAIT_S),
        (b"wait=soon", None),
        (b"wait=-1", None),
        (b"await=5", None),
        (b"return=minimal", None),
        (b"", None),
    ],
)
def test_prefer_wait_is_bounded_and_what_can_not_be_read_is_no_preference(value: bytes, seconds: float | None) -> None:
    assert wait_s({b"prefer": value}) == seconds


@pytest.mark.parametrize(
    "value",
    [b"application/json", b"Application/JSON", b"application/json; charset=utf-8", b'application/json;charset="UTF-8"'],
)
def test_json_in_utf_8_is_taken(value: bytes) -> None:
    check_json({b"content-type": value})


@pytest.mark.parametrize(
    "value",
    [b"", b"text/plain", b"application/json; charset=latin-1", b"application/jsonx", b"multipart/form-data", b"\xff"],
)
def test_anything_else_is_an_unsupported_media_type(value: bytes) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        check_json({b"content-type": value})


def test_a_body_without_a_type_or_compressed_is_an_unsupported_media_type() -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="no declared type"):
        check_json({})
    with pytest.raises(UnsupportedMediaTypeError, match="compressed"):
        check_json({b"content-type": b"application/json", b"content-encoding": b"gzip"})


def test_a_command_id_is_text() -> None:
    assert command_id({b"idempotency-key": "id-é".encode()}) == "id-é"
    assert command_id({}) is None


def test_a_command_id_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(InvalidCommandIdError):
        command_id({b"idempotency-key": b"\xff"})


def test_the_correlation_id_is_found_under_both_names_and_kept_with_its_name() -> None:
    assert conversation({b"x-correlation-id": b"a"}) == Conversation("a", (b"x-correlation-id", b"a"), was_brought=True)
    assert conversation({b"twofold-correlation-id": b"b", b"x-correlation-id": b"a"}).echo == (
        b"twofold-correlation-id",
        b"b",
    )


def test_a_request_without_a_correlation_id_gets_one_of_its_own() -> None:
    one, other = conversation({}), conversation({})
    assert one.echo == (b"x-correlation-id", one.correlation_id.encode())
    assert len(one.correlation_id) == 32
    assert not one.was_brought
    assert one.correlation_id != other.correlation_id


def test_a_repeated_command_without_a_correlation_id_is_of_the_same_conversation() -> None:
    assert conversation({b"idempotency-key": b"order-1"}).correlation_id == "order-1"
    assert conversation({b"idempotency-key": "é".encode()}).correlation_id != "é"  # a header can't send it back


@pytest.mark.parametrize("value", [b"", b"x" * 201, b"\xe9", b"a\tb"])
@pytest.mark.parametrize("name", [b"x-correlation-id", b"x-causation-id"])
def test_an_id_that_can_not_be_recorded_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(InvalidHeaderError, match=name.decode().title()):
        conversation({name: value})


def test_the_cause_and_the_place_in_a_trace_are_taken_from_their_headers() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    found = conversation({b"x-causation-id": b"17", b"traceparent": parent.encode(), b"tracestate": b"vendor=1"})
    assert found.causation_id == "17"
    assert found.trace == TraceContext(parent, "vendor=1")


def test_a_place_in_a_trace_that_has_no_meaning_is_none_and_no_error() -> None:
    assert conversation({b"traceparent": b"00-\xe9", b"tracestate": b"vendor=1"}).trace is None
    assert conversation({b"tracestate": b"vendor=1"}).trace is None
