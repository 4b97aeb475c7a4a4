"""`:name` parameters of somebody's own SQL as the numbered ones that PostgreSQL has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["numbered"]

_PARTS = re.compile(
    r"""
      (?P<name> (?<![:\w]) : (?P<of>[A-Za-z_]\w*) )
    | ::
    | --[^\n]*
    | \b[eE]'(?:[^'\\]|''|\\.)*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | \$(?P<tag>\w*)\$ .*? \$(?P=tag)\$
    | /\*
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")


def numbered(text: str, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The text with `$1`, `$2` … and their values. ValueError names a parameter without a value.

    What looks like a parameter within a text, a quoted name or a comment is none.
    """
    numbers: dict[str, int] = {}
    parts: list[str] = []
    at = 0
    while found := _PARTS.search(text, at):
        parts.append(text[at : found.start()])
        if found["name"]:
            if found["of"] not in params:
                raise ValueError(f"it has no value for :{found['of']}")
            parts.append(f"${numbers.setdefault(found['of'], len(numbers) + 1)}")
            at = found.end()
        else:
            at = _end_of_comment(text, found.end()) if found[0] == "/*" else found.end()
            parts.append(text[found.start() : at])
    return "".join([*parts, text[at:]]), [params[name] for name in numbers]


def _end_of_comment(text: str, at: int) -> int:
    """Comments may hold comments."""
    depth = 1
    while depth and (found := _COMMENT.search(text, at)):
        depth += 1 if found[0] == "/*" else -1
        at = found.end()
    return len(text) if depth else at
