"""What the W3C says of `traceparent` and `tracestate`: https://www.w3.org/TR/trace-context/"""

import pytest

from twofold.trace_context import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_place_has_a_trace_a_span_and_whether_it_is_kept() -> None:
    found = TraceContext.parse(PARENT)
    assert found is not None
    assert found == TraceContext(PARENT)
    assert (found.trace_id, found.span_id, found.is_sampled) == (TRACE, SPAN, True)
    dropped = TraceContext.parse(f"00-{TRACE}-{SPAN}-00")
    assert dropped is not None
    assert not dropped.is_sampled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        f"00-{TRACE}-{SPAN}",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01.more",
        f"{PARENT}, {PARENT}",
    ],
)
def test_what_is_not_written_as_the_standard_says_is_no_place(text: str) -> None:
    assert TraceContext.parse(text) is None


@pytest.mark.parametrize("text", [f"01-{TRACE}-{SPAN}-09", f"cc-{TRACE}-{SPAN}-01-what the future will bring"])
def test_of_a_later_version_what_is_known_is_taken(text: str) -> None:
    assert TraceContext.parse(text) == TraceContext(PARENT)


@pytest.mark.parametrize(
    "text", ["rojo=00f067aa0ba902b7", "rojo=1,congo=t61rcWkgMzE", "fw529a3039@dt=FfAxNHY, a=b ,", "a=" + "x" * 256]
)
def test_the_state_of_vendors_is_kept_as_it_is(text: str) -> None:
    assert TraceContext.parse(PARENT, text) == TraceContext(PARENT, text)


@pytest.mark.parametrize(
    "text",
    [
        *("a", "a=", "A=b", "a=b=c", "a=1,a=2", "a=é", "a=\t", "a=" + "x" * 257),
        ",".join(f"k{number}=v" for number in range(33)),
        ",".join(f"k{number}={'v' * 50}" for number in range(12)),
    ],
)
def test_a_state_without_meaning_is_left_out_and_the_place_stays(text: str) -> None:
    assert TraceContext.parse(PARENT, text) == TraceContext(PARENT)


def test_a_state_without_a_place_is_nothing() -> None:
    assert TraceContext.parse("", "a=b") is None
