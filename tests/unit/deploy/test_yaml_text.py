"""What is written is what every parser reads."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from twofold.deploy.yaml_text import Tree, to_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "yes",
        "No",
        "0x1f",
        "012",
        "1e3",
        "12:30:00",
        "~",
        "",
        " a",
        "a ",
        "a: b",
        "a #b",
        "- a",
        "| a",
        "a\n",
        "\n",
        "a\n\n",
        "a\n b\n",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)


@given(TREES)
def test_what_is_written_is_read_again(tree: Tree) -> None:
    assert yaml.safe_load(to_yaml(tree)) == tree


@given(st.lists(TREES, min_size=1, max_size=3))
def test_so_are_several_documents(trees: list[Tree]) -> None:
    assert list(yaml.safe_load_all(to_yaml(*trees, comment="made\nby hand"))) == trees


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_stays_a_number(number: float) -> None:
    found = yaml.safe_load(to_yaml(number))
    assert isinstance(found, float)
    assert math.copysign(1, found) == math.copysign(1, number)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"image": "shop-command:0.1.0", "port": 80}, "image: shop-command:0.1.0\nport: 80\n"),
        ({"a": {"b": ["c", {"d": "e", "f": True}]}}, "a:\n  b:\n    - c\n    - d: e\n      f: true\n"),
        ({"on": "off", "none": None, "empty": {}, "list": []}, '"on": "off"\nnone: null\nempty: {}\nlist: []\n'),
        ({"cpu": "250m", "cron": "12:30"}, 'cpu: "250m"\ncron: "12:30"\n'),
        ({"text": "one\n\n  two\n"}, "text: |\n  one\n\n    two\n"),
        (["one\ntwo\n"], "- |\n  one\n  two\n"),
    ],
)
def test_it_reads_as_one_would_write_it(tree: Tree, text: str) -> None:
    assert to_yaml(tree) == text
