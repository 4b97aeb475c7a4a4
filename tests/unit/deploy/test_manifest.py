"""What is written is what every parser reads, and what people like to read."""

import subprocess
import sys

import pytest
import yaml

from twofold.deploy.manifest import Tree, to_yaml


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"image": "shop-command:0.1.0", "port": 80}, "image: shop-command:0.1.0\nport: 80\n"),
        ({"z": {"b": ["c", {"d": "e", "a": True}]}}, "z:\n  b:\n  - c\n  - d: e\n    a: true\n"),
        ({"on": "off", "none": None, "empty": {}, "list": []}, "'on': 'off'\nnone: null\nempty: {}\nlist: []\n"),
        ({"version": "1.4", "cron": "12:30"}, "version: '1.4'\ncron: '12:30'\n"),
        ({"text": "one\n\n  two\n"}, "text: |\n  one\n\n    two\n"),
        (["one\ntwo\n"], "- |\n  one\n  two\n"),
    ],
)
def test_it_reads_as_one_would_write_it(tree: Tree, text: str) -> None:
    assert to_yaml(tree) == text


@pytest.mark.parametrize("commit", ["12e4567", "0e1", "0o17"])
def test_a_commit_that_yaml_1_2_would_take_for_a_number_is_a_text(commit: str) -> None:
    assert to_yaml({"newTag": commit}) == f"newTag: '{commit}'\n"


def test_a_long_line_is_not_broken_and_a_value_in_two_places_is_written_out_in_both() -> None:
    long = {"command": "word " * 60 + "end"}
    text = to_yaml({"a": long, "b": long})
    assert text.count("\n") == 4
    assert "&" not in text
    assert yaml.safe_load(text) == {"a": long, "b": long}


def test_several_documents_stand_behind_one_comment() -> None:
    text = to_yaml({"a": 1}, {"b": 2}, comment="made\nby hand")
    assert text == "# made\n# by hand\na: 1\n---\nb: 2\n"


def test_without_pyyaml_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['yaml'] = None\nfrom twofold.cli import main\nmain()"
    words = (sys.executable, "-c", code, "deploy", "kubernetes", "examples.bank:app", "--diff")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'twofold[deploy]'" in done.stderr
