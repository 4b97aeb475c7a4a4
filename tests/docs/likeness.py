"""Whether what came is what a page says, where `...` stands for what may differ."""

import json
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["is_like", "is_like_body"]


def is_like(expected: Sequence[str], came: str) -> bool:
    """`...` is anything, on a line of its own any lines or none. White space at the ends of lines does not count."""
    lines = "\n".join(expected).rstrip().splitlines()
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "..." else ".*?".join(map(re.escape, line.rstrip().split("..."))) + r"\n"
        for line in lines
    )
    text = "".join(f"{line.rstrip()}\n" for line in came.rstrip().splitlines())
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def is_like_body(expected: str, came: str) -> bool:
    """JSON is compared as JSON, whatever its spaces and the order of its keys."""
    try:
        return _is_like_json(json.loads(expected), json.loads(came))
    except ValueError:
        return is_like(expected.splitlines(), came)


def _is_like_json(expected: Any, came: Any) -> bool:
    match expected:
        case "...":
            return True
        case dict():
            named = {key: value for key, value in expected.items() if key != "..."}
            if not isinstance(came, dict) or not named.keys() <= came.keys():
                return False
            complete = "..." in expected or named.keys() == came.keys()
            return complete and all(_is_like_json(named[key], came[key]) for key in named)
        case list():
            same_length = isinstance(came, list) and len(came) == len(expected)
            return same_length and all(map(_is_like_json, expected, came))
        case _:
            return expected == came
