import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest

from examples import bank, shop
from twofold import Application, Meta
from twofold.http.examples import example_of


class Colour(Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Place(TypedDict):
    street: str


@dataclass
class Line:
    sku: str
    units: Annotated[int, Meta(ge=2, le=5)]


class Tree(msgspec.Struct):
    children: list["Tree"]


class Tagged(msgspec.Struct, tag="tagged"):
    absent: int | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize(
    "kind",
    [
        str,
        Annotated[str, Meta(min_length=20, max_length=21)],
        Annotated[str, Meta(max_length=2)],
        Annotated[int, Meta(gt=10)],
        Annotated[int, Meta(lt=-10)],
        Annotated[int, Meta(ge=7, multiple_of=5)],
        Annotated[float, Meta(gt=0, lt=1)],
        Annotated[list[str], Meta(min_length=3)],
        Annotated[str, Meta(pattern="^x$", examples=["x"])],
        bool,
        None,
        Decimal,
        dt.datetime,
        dt.date,
        dt.time,
        dt.timedelta,
        UUID,
        bytes,
        Colour,
        Literal["a", 2],
        int | None,
        dict[str, Line],
        dict[int, str],
        set[int],
        tuple[int, str],
        tuple[int, ...],
        Pair,
        Place,
        Line,
        Tagged,
        Any,
    ],
    ids=str,
)
def test_the_example_of_a_type_is_of_that_type(kind: Any) -> None:
    msgspec.json.decode(msgspec.json.encode(example_of(kind)), type=kind)


def test_an_example_speaks_the_language_of_its_field() -> None:
    assert example_of(Line) == {"sku": "sku-1", "units": 2}


def test_a_type_that_holds_itself_has_an_example_that_ends() -> None:
    assert len(msgspec.json.encode(example_of(Tree))) < 1_000


@pytest.mark.parametrize("app", [bank.app, shop.app], ids=lambda app: app.name)
def test_every_command_and_query_of_the_examples_can_be_sent_as_its_example_says(app: Application) -> None:
    for command in app.commands.values():
        command.codec.decode(msgspec.json.encode(example_of(command.handler.command)))
    for query in app.queries.values():
        query.codec.decode(msgspec.json.encode(example_of(query.answer.query)))
