"""Texts with gaps: where a file is more text than structure, it reads better as the text that it is."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["filled"]

_GAP = re.compile(r"«(\w+)»")


def filled(name: str, /, **words: str) -> str:
    """The template with its gaps «word» filled. KeyError for a gap without a word, or a word without a gap."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    gaps = set(_GAP.findall(text))
    if gaps != set(words):
        raise KeyError(f"{name}: gaps {sorted(gaps)}, words {sorted(words)}")
    return _GAP.sub(lambda found: words[found[1]], text)
