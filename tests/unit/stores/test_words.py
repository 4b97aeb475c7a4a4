"""What a word is, for the full-text search of every store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.stores.words import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        (" \t\n…!?—", ()),
        ("Hanging HEART T-light", ("hanging", "heart", "t", "light")),
        ("snake_case, 3.50 & 2x", ("snake", "case", "3", "50", "2x")),
        ("Crème Brûlée", ("creme", "brulee")),
        ("Straße", ("strasse",)),
        ("ﬁne ｆｕｌｌ ℡", ("fine", "full", "tel")),
        ("e\u0301te\u0301", ("ete",)),
        ("हिन्दी", ("हिन्दी",)),
        ("ガラス", ("カ\u3099ラス",)),
        ("a\0b\ud800c", ("a", "b", "c")),
    ],
)
def test_words_are_runs_of_letters_digits_and_their_marks(text: str, found: tuple[str, ...]) -> None:
    assert words(text) == found


@given(st.text())
def test_words_of_words_are_the_same_words(text: str) -> None:
    assert words(" ".join(words(text))) == words(text)


@given(st.text())
def test_ascii_in_words_is_letters_in_lower_case_and_digits(text: str) -> None:
    """So that an index may split at spaces and at nothing else."""
    for character in "".join(words(text)):
        assert not character.isascii() or character.islower() or character.isdigit()
