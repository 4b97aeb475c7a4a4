"""Words of a text, as every store's full-text search knows them.

Words are runs of letters, digits and their marks, without case and without the accents of European scripts; what is
between them does not count. Kept out of the databases, whose own ideas of a word differ from one release to the next.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["words"]

_ASCII_WORD = re.compile(r"[a-z0-9]+")


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """In the order of the text. Ligatures, full-width and composed letters are taken apart (NFKD)."""
    if text.isascii():
        return tuple(_ASCII_WORD.findall(text.lower()))
    apart = unicodedata.normalize("NFKD", text.casefold())
    return tuple("".join(map(_in_word, apart)).split())


@lru_cache(maxsize=4096)
def _in_word(character: str) -> str:
    if "\u0300" <= character <= "\u036f":  # accents: café is cafe
        return ""
    if unicodedata.category(character)[0] in "LNM":
        return character.casefold()
    return " "
