from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import inspect

from twofold import Meta
from twofold.errors import InvalidMessageError
from twofold.http.problems import MalformedQueryStringError
from twofold.http.queries import Form, form_of, pairs, parameters


class Size(Enum):
    SMALL = "small"


class Range(msgspec.Struct):
    low: int
    high: int


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (str, Form.TEXT),
        (int | None, Form.TEXT),
        (Decimal, Form.TEXT),
        (datetime, Form.TEXT),
        (Size, Form.TEXT),
        (Literal["a", "b"], Form.TEXT),
        (Annotated[str, Meta(max_length=3, description="x")], Form.TEXT),
        (int | str, Form.TEXT),
        (list[int], Form.LIST),
        (set[str] | None, Form.LIST),
        (tuple[Size, ...], Form.LIST),
        (list[list[int]], Form.JSON),
        (list[Range], Form.JSON),
        (Range, Form.JSON),
        (Range | None, Form.JSON),
        (dict[str, int], Form.JSON),
        (str | list[str], Form.JSON),
        (Any, Form.JSON),
    ],
)
def test_the_form_of_a_field_in_a_url_follows_from_its_type(kind: Any, form: Form) -> None:
    assert form_of(inspect.type_info(kind)) is form


def test_a_query_string_is_read_as_browsers_write_it() -> None:
    assert list(pairs(b"a=1&b=x+y%26z&c=%C3%A9&d&e=&&=f")) == [
        ("a", "1"),
        ("b", "x y&z"),
        ("c", "é"),
        ("d", ""),
        ("e", ""),
        ("", "f"),
    ]
    assert list(pairs(b"")) == []


@pytest.mark.parametrize("text", [b"a=%FF", b"a=\xff", b"%C3=1"])
def test_a_query_string_that_is_no_utf_8_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedQueryStringError):
        list(pairs(text))


def test_a_list_is_a_repeated_parameter_and_an_object_is_json() -> None:
    forms = {"sku": Form.LIST, "range": Form.JSON, "name": Form.TEXT}
    found = parameters("Find", forms, b"sku=a&sku=b&range=%7B%22low%22%3A1%7D&name=x")
    assert found == {"sku": ["a", "b"], "range": {"low": 1}, "name": "x"}


@pytest.mark.parametrize(
    ("text", "pointer"), [(b"name=x&name=y", "/name"), (b"range=%7B", "/range"), (b"u~/=1&u~/=2", "/u~0~1")]
)
def test_a_parameter_that_can_not_be_taken_is_named(text: bytes, pointer: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        parameters("Find", {"range": Form.JSON, "name": Form.TEXT}, text)
    assert caught.value.pointer == pointer


def test_a_deeply_nested_parameter_is_refused() -> None:
    with pytest.raises(InvalidMessageError):
        parameters("Find", {"range": Form.JSON}, b"range=" + b"[" * 20_000)
