"""A place in a trace, as the W3C writes it (https://www.w3.org/TR/trace-context/): plain text, no telemetry.

What is not written as it says there is no place, and never an error: a trace is a help, and must not stop anything.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["TraceContext"]

_PARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?",
    re.ASCII,
)
_KEY = r"(?:[a-z0-9][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13}|[a-z][_0-9a-z\-*/]{0,255})"
_MEMBER = re.compile(rf"(?P<key>{_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MOST_MEMBERS = 32
_MOST_STATE = 512
_KNOWN_FLAGS = 3
_SAMPLED = 1


class TraceContext(NamedTuple):
    """A span of a trace: `traceparent` is `00-{trace id}-{span id}-{flags}`, `tracestate` what vendors add to it."""

    traceparent: str
    tracestate: str = ""

    @classmethod
    def parse(cls, traceparent: str, tracestate: str = "") -> TraceContext | None:
        """The place that the headers name; None when the first has no meaning, without the second when that has none.

        Of a version that is not known yet what version 00 has is read, and written as version 00.
        """
        found = _PARENT.fullmatch(traceparent)
        if found is None or (found["version"] == "00" and found["more"]):
            return None
        flags = int(found["flags"], 16) & _KNOWN_FLAGS
        return cls(f"00-{found['trace']}-{found['span']}-{flags:02x}", tracestate if _is_state(tracestate) else "")

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        return self.traceparent[36:52]

    @property
    def flags(self) -> int:
        return int(self.traceparent[53:], 16)

    @property
    def is_sampled(self) -> bool:
        """Whether the trace is kept. What is not is handed on all the same."""
        return bool(self.flags & _SAMPLED)


def _is_state(text: str) -> bool:
    members = [each for each in (part.strip(" \t") for part in text.split(",")) if each]
    found = [_MEMBER.fullmatch(each) for each in members]
    keys = {each["key"] for each in found if each is not None}
    return len(text) <= _MOST_STATE and len(keys) == len(members) <= _MOST_MEMBERS
