import subprocess
import sys

import pytest

import twofold
from twofold import testing


def test_the_public_names_are_these() -> None:
    """A name that leaves this list breaks somebody's program: it needs a line in the changelog and a major version."""
    assert set(twofold.__all__) == {
        "Accepted",
        "Aggregate",
        "AlreadyExistsError",
        "Application",
        "Command",
        "Context",
        "DeclarationError",
        "Event",
        "InvalidInputError",
        "Meta",
        "Metadata",
        "NotFoundError",
        "NotYetConsistentError",
        "Position",
        "Query",
        "ReadModel",
        "Recorded",
        "RefusedError",
        "Rejected",
        "Settings",
        "StreamId",
        "System",
        "TwofoldError",
        "UnavailableError",
        "UnknownOutcomeError",
        "View",
        "WrongExpectedVersionError",
        "answer",
        "apply",
        "asgi",
        "connect",
        "handle",
        "on",
        "upcast",
    }


@pytest.mark.parametrize("name", twofold.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(twofold, name)
    assert name == "Position" or (getattr(value, "__doc__", None) or "").strip(), f"{name} has no docstring"


def test_the_testing_kits_names_are_these() -> None:
    assert set(testing.__all__) == {"RunningSystem", "TestClock", "given", "given_events", "recorded", "running"}
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'twofold' has no attribute 'Saga'"):
        twofold.Saga  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


def test_importing_declarations_does_not_import_what_runs_them() -> None:
    """`import twofold` is paid by every test and every command line."""
    code = "import sys, twofold; print(sorted(m for m in sys.modules if m.startswith('twofold.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "twofold.aggregate" in done.stdout
    for running in ("twofold.runtime", "twofold.wiring", "twofold.http", "twofold.stores", "twofold.testing"):
        assert running not in done.stdout
