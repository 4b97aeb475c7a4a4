"""The contract itself is proved: an event log that tells one lie fails the promise that it breaks."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.contract.liars import event_log_liars

LIARS = [value for name, value in vars(event_log_liars).items() if name.startswith("Test")]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the liars whose test failed, from one run of pytest over all of them."""
    file = Path(event_log_liars.__file__)
    report = tmp_path_factory.mktemp("liars") / "report.xml"
    tests = [f"{file}::{liar.__name__}::{liar.caught_by}" for liar in LIARS]
    options = ["-p", "no:cacheprovider", "--quiet", f"--junit-xml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    cases = ElementTree.parse(report).getroot().iter("testcase")
    outcomes = {case.attrib["classname"].rpartition(".")[2]: case.find("failure") is not None for case in cases}
    assert len(outcomes) == len(LIARS), done.stdout + done.stderr
    return {name for name, has_failed in outcomes.items() if has_failed}


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__.removeprefix("Test"))
def test_the_contract_catches_a_log_that(liar: type, failed: set[str]) -> None:
    assert liar.__name__ in failed
