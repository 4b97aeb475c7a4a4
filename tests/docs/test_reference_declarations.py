"""docs/reference/declarations.md names every public name, and every member of what users hold in their hands."""

import inspect
from collections.abc import Iterable

import msgspec
import pytest

import twofold
from tests.docs.pages import page, section, words
from twofold import Accepted, Aggregate, Context, Metadata, ReadModel, Recorded, System, View
from twofold.application import Application, Gap

TEXT = page("reference/declarations.md")


def public_members(cls: type) -> list[str]:
    return [name for name, value in vars(cls).items() if not name.startswith("_") and callable(value)]


def missing(names: Iterable[str], text: str) -> list[str]:
    shown = words(text)
    return [name for name in names if name not in shown]


def test_every_public_name_is_documented() -> None:
    assert not missing(twofold.__all__, TEXT)


@pytest.mark.parametrize("kind", [Aggregate, ReadModel])
def test_every_keyword_of_a_class_is_documented(kind: type[Aggregate] | type[ReadModel]) -> None:
    allowed: tuple[str, ...] = vars(kind)["_allowed"]
    shown = section(TEXT, f"{'Aggregates' if kind is Aggregate else 'Read models'}")
    assert not [each for each in allowed if f"| `{each}=` |" not in shown]


def test_every_keyword_of_a_message_is_documented() -> None:
    keywords = {"name", "version", "stale_ok_s"}
    assert not [each for each in keywords if f"| `{each}=` |" not in section(TEXT, "Messages")]


@pytest.mark.parametrize("struct", [Context, Metadata, Recorded])
def test_every_field_of_a_value_is_documented(struct: type[msgspec.Struct]) -> None:
    assert not missing(struct.__struct_fields__, TEXT)


def test_every_field_of_accepted_is_documented() -> None:
    assert not missing(Accepted.__struct_fields__, section(TEXT, "Running it"))


def test_every_method_of_a_view_is_documented_with_its_parameters() -> None:
    shown = section(TEXT, "Queries and answers")
    for name in public_members(View):
        parameters = [each for each in inspect.signature(getattr(View, name)).parameters if each != "self"]
        assert not missing([name, *parameters], shown), name


def test_every_method_of_a_system_that_users_call_is_documented() -> None:
    """The others assemble, start and stop it, which `connect` does."""
    inner = {"projector", "start", "stop"}
    assert not missing(set(public_members(System)) - inner, section(TEXT, "Running it"))


def test_every_parameter_of_send_and_ask_is_documented() -> None:
    for method in (System.send, System.ask, System.answer):
        parameters = [each for each in inspect.signature(method).parameters if each != "self"]
        assert not missing(parameters, section(TEXT, "Running it"))


def test_every_member_of_a_read_model_and_of_a_gap_is_documented() -> None:
    assert not missing(["delete", "is_deleted"], section(TEXT, "Read models"))
    assert not missing([*inspect.signature(Gap).parameters], section(TEXT, "The application"))
    assert not missing(inspect.signature(Application).parameters, section(TEXT, "The application"))
