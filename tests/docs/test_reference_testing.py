"""docs/reference/testing.md names everything in the testing kit."""

import inspect

from tests.docs.pages import page, words
from twofold import testing
from twofold.testing import aggregates, event_log_contract, read_models, read_store_contract

TEXT = page("reference/testing.md")
SHOWN = words(TEXT)


def methods(cls: type) -> list[str]:
    return [name for name, value in vars(cls).items() if not name.startswith("_") and callable(value)]


def parameters(function: object) -> list[str]:
    assert callable(function)
    return [name for name in inspect.signature(function).parameters if name not in ("self", "app", "aggregate")]


def test_every_public_name_is_documented() -> None:
    assert not [name for name in testing.__all__ if name not in SHOWN]


def test_every_step_of_a_story_is_documented() -> None:
    steps = methods(aggregates.GivenStream) + methods(aggregates.Outcome) + methods(read_models.GivenEvents)
    assert not [name for name in steps if name not in SHOWN]


def test_every_parameter_is_documented() -> None:
    functions = [testing.given, aggregates.GivenStream.when, testing.recorded, testing.running]
    assert not [name for function in functions for name in parameters(function) if name not in SHOWN]


def test_every_method_of_the_clock_is_documented() -> None:
    assert not [name for name in methods(testing.TestClock) if name not in SHOWN]


def test_every_contract_suite_is_documented() -> None:
    for module in (event_log_contract, read_store_contract):
        for name in module.__all__:
            if name.endswith("Contract"):
                assert f"`{module.__name__}.{name}`" in TEXT
