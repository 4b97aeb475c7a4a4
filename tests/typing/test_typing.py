"""What users declare is understood by pyright and mypy without a plugin, and misuse is caught where it is written.

The files in `bad` say on each wrong line what is found there: `# E: reportCallIssue, call-arg` (pyright's rule, mypy's
code), with `-` for a checker that can't see it. A file's other lines are right.
"""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.typing.checkers import ROOT, Found, mypy, pyright

HERE = Path(__file__).parent
GOOD, BAD = sorted((HERE / "good").glob("*.py")), sorted((HERE / "bad").glob("*.py"))
MARK = re.compile(r"# E: ([\w-]+), ([\w-]+)(?: \(.+\))?$")

Check = Callable[[list[Path], Path], Found]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """Each checker runs once over everything: it takes them seconds to start."""
    return {
        "pyright": pyright([*GOOD, *BAD], tmp_path_factory.mktemp("pyright")),
        "mypy": mypy([*GOOD, *BAD], tmp_path_factory.mktemp("mypy")),
    }


def marks(file: Path, place: int) -> dict[tuple[str, int], str]:
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    found = {(file.name, number): mark[1 + place] for number, line in lines if (mark := MARK.search(line))}
    return {where: rule for where, rule in found.items() if rule != "-"}


def of(file: Path, found: Found) -> Found:
    return {where: rules for where, rules in found.items() if where[0] == file.name}


@pytest.mark.parametrize("checker", ["pyright", "mypy"])
@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_what_is_right_is_accepted(findings: dict[str, Found], checker: str, file: Path) -> None:
    assert not of(file, findings[checker])


@pytest.mark.parametrize(("checker", "place"), [("pyright", 0), ("mypy", 1)])
@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_what_is_wrong_is_caught_where_it_is_wrong_and_nowhere_else(
    findings: dict[str, Found], checker: str, place: int, file: Path
) -> None:
    found, expected = of(file, findings[checker]), marks(file, place)
    assert expected, "a file without marks proves nothing"
    missed = {where: rule for where, rule in expected.items() if rule not in found.get(where, set())}
    unmarked = {where: rules for where, rules in found.items() if where not in expected}
    assert not missed, f"{checker} does not find what is marked: {missed}"
    assert not unmarked, f"{checker} finds what is not marked: {unmarked}"


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_every_mark_can_be_read(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "# E:" in line]
    assert lines
    assert all(MARK.search(line) for line in lines)


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_what_is_right_runs(file: Path) -> None:
    runpy.run_path(str(file))


def test_the_slice_is_the_one_that_the_example_has() -> None:
    """`examples/bank` is the printed slice; the checkers see the same lines."""
    printed = (HERE / "good" / "slice.py").read_text(encoding="utf-8").partition("from decimal")[2]
    example = (ROOT / "examples" / "bank" / "__init__.py").read_text(encoding="utf-8").partition("from decimal")[2]
    assert printed == example
