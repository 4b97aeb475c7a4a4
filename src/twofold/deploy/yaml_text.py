"""Plain values as YAML that people read and every parser takes: YAML 1.1 and 1.2, PyYAML and Go.

Writing is the easy half of YAML. A text is bare only where no parser could take it for something else, a block where it
has whole lines, and else a JSON string, which is YAML too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

__all__ = ["Tree", "to_yaml"]

Tree: TypeAlias = "Mapping[str, Tree] | Sequence[Tree] | str | int | float | bool | None"

_BARE = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]*(?::[A-Za-z0-9_./-]+)*")
_MEANT = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
_BLOCK = re.compile(r"(?:[!-~][ -~]*[!-~]\n|[!-~]\n)(?:[ -~]*[!-~]\n|\n(?!\Z))*")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def to_yaml(*documents: Tree, comment: str = "") -> str:
    """The documents as one text, behind a comment of one or more lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + "---\n".join("".join(f"{line}\n" for line in _lines(document)) for document in documents)


def _lines(value: Tree) -> Iterator[str]:
    match value:
        case str() if _BLOCK.fullmatch(value):
            yield "|"
            yield from (f"  {line}" if line else "" for line in value[:-1].split("\n"))
        case Mapping() if value:
            for key, each in value.items():
                yield from _entry(f"{_scalar(key)}:", each, nested="  ")
        case Sequence() if value and not isinstance(value, str):
            for each in value:
                yield from _item(each)
        case _:
            yield _scalar(value)


def _entry(label: str, value: Tree, *, nested: str) -> Iterator[str]:
    first, *rest = _lines(value)
    if isinstance(value, str) and rest:
        yield f"{label} {first}"
        yield from rest
    elif isinstance(value, Mapping | list | tuple) and value:
        yield label
        yield from (f"{nested}{line}" if line else "" for line in (first, *rest))
    else:
        yield f"{label} {first}"


def _item(value: Tree) -> Iterator[str]:
    first, *rest = _lines(value)
    yield f"- {first}"
    indent = "" if isinstance(value, str) else "  "
    yield from (f"{indent}{line}" if line else "" for line in rest)


def _scalar(value: Tree) -> str:
    match value:
        case str() if _BARE.fullmatch(value) and value.lower() not in _MEANT:
            return value
        case str():
            text = json.dumps(value, ensure_ascii=False)
            return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        case float():
            return _number(value)
        case Mapping():
            return "{}"
        case Sequence():
            return "[]"
        case _:
            return json.dumps(value)


def _number(value: float) -> str:
    """A number that YAML 1.1 takes for one: it wants a point and a sign of the exponent, which JSON does not."""
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}e{exponent if exponent[0] in '+-' else f'+{exponent}'}"
