from pathlib import Path

import pytest

from tests.unit.cli.conftest import Twofold
from twofold.cli.application import load_application

MODULE = """
from twofold import Application
import examples.bank
app = Application("{name}", [examples.bank])
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)


def test_the_application_is_found_from_the_current_folder(folder: Path, twofold: Twofold) -> None:
    write(folder, "here_it_is", MODULE.format(name="here"))
    assert twofold("check", "here_it_is:app").stdout.startswith("here: ")


def test_what_is_given_goes_before_the_setting_and_that_before_the_project(
    folder: Path, twofold: Twofold, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("given_app", "set_app", "project_app"):
        write(folder, name, MODULE.format(name=name))
    (folder / "pyproject.toml").write_text('[tool.twofold]\napp = "project_app:app"\n')
    assert twofold("check").stdout.startswith("project_app: ")
    monkeypatch.setenv("TWOFOLD_APP", "set_app:app")
    assert twofold("check").stdout.startswith("set_app: ")
    assert twofold("check", "given_app:app").stdout.startswith("given_app: ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ((), "which application?"),
        (("examples.bank",), "MODULE:ATTRIBUTE"),
        (("examples.bank:",), "MODULE:ATTRIBUTE"),
        (("../bank:app",), "MODULE:ATTRIBUTE"),
        (("no_such_module:app",), "no module 'no_such_module'"),
        (("examples.no_such:app",), "no module 'examples.no_such'"),
        (("examples.bank:ap",), "no attribute 'ap'; there is examples.bank:app"),
        (("examples.bank:Account",), "no Application in 'Account'; there is examples.bank:app"),
    ],
)
def test_an_application_that_is_not_there_is_wrong_usage(twofold: Twofold, words: tuple[str, ...], hint: str) -> None:
    failed = twofold("check", *words)
    assert failed.exit_code == 2
    assert hint in failed.stderr


@pytest.mark.parametrize("text", ["[tool", "[tool.twofold]\napp = 7\n"])
def test_a_project_file_without_sense_is_named(folder: Path, twofold: Twofold, text: str) -> None:
    (folder / "pyproject.toml").write_text(text)
    failed = twofold("check")
    assert failed.exit_code == 2
    assert "pyproject.toml" in failed.stderr


def test_a_wrong_declaration_is_shown_without_a_traceback(folder: Path, twofold: Twofold) -> None:
    write(folder, "wrongly_declared", "from twofold import Aggregate\nclass Order(Aggregate): ...\n")
    failed = twofold("check", "wrongly_declared:app")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("twofold: Order: an aggregate needs a key")
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", "SyntaxError"),
        ("import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_module_that_fails_shows_its_own_lines_alone(folder: Path, twofold: Twofold, text: str, said: str) -> None:
    name = f"failing_{said[:2].lower()}"
    write(folder, name, text)
    failed = twofold("check", f"{name}:app")
    assert failed.exit_code == 1
    assert said in failed.stderr
    assert f"{name}.py" in failed.stderr
    assert "importlib" not in failed.stderr
    assert "twofold/cli" not in failed.stderr


def test_an_application_may_lie_deeper() -> None:
    assert load_application("examples.bank:app").name == "bank"
