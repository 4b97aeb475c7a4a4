import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import validate

from examples import bank, shop
from twofold import Aggregate, Application, Command, Event, Meta, Query, ReadModel, View, answer, handle, on
from twofold.errors import TwofoldError
from twofold.http.openapi import OpenApi, describe
from twofold.http.problems import Problem, problem_answer
from twofold.settings import Role

Json = dict[str, Any]


@dataclass
class Stop:
    at: datetime
    fare: Decimal


class PlanTrip(Command):
    """A trip with its stops.

    The first stop is where it begins.
    """

    trip_id: str
    stops: Annotated[list[Stop], Meta(min_length=1)]
    seats: int = 1


class TripPlanned(Event):
    trip_id: str
    stops: list[Stop]


class Trip(Aggregate, key="trip_id"):
    @handle(creates=True)
    def plan(self, command: PlanTrip) -> TripPlanned:
        return TripPlanned(trip_id=command.trip_id, stops=command.stops)


class TripRow(ReadModel, key="trip_id", index=["first_at"]):
    trip_id: str
    first_at: datetime | None = None

    @on(TripPlanned)
    def planned(self, event: TripPlanned) -> None:
        self.first_at = event.stops[0].at


class Fares(Query[dict[str, Stop]]):
    """Many shapes in one query."""

    trip_id: str | int
    fares: dict[str, Decimal] = {}
    span: tuple[datetime, datetime] | None = None
    seats: list[int] | None = None
    most: Decimal | None = None


@answer
async def fares(query: Fares, trips: View[TripRow]) -> dict[str, Stop]:
    return {}


class TripsLike(Query[list[TripRow]]):
    trip_id: list[str]
    first: Stop | None = None
    before: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=10)] = 10


@answer
async def trips_like(query: TripsLike, trips: View[TripRow]) -> list[TripRow]:
    return await trips.find(limit=query.limit)


APPS = [bank.app, shop.app, Application("trips", [Trip, TripRow, trips_like, fares])]
TRIPS = json.loads(json.dumps(describe(APPS[-1])))


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def resolved(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found = document
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_the_description_is_valid_openapi(app: Application) -> None:
    validate(json.loads(json.dumps(describe(app))))


def test_every_command_and_query_is_described_with_its_own_words() -> None:
    assert {path for path, _ in operations(TRIPS)} == {
        "/commands/PlanTrip",
        "/queries/TripsLike",
        "/queries/Fares",
        "/livez",
        "/readyz",
        "/metrics",
    }
    plan = TRIPS["paths"]["/commands/PlanTrip"]["post"]
    assert plan["description"] == "A trip with its stops.\n\nThe first stop is where it begins."
    assert plan["x-events"] == ["TripPlanned"]
    assert TRIPS["paths"]["/queries/TripsLike"]["get"].keys().isdisjoint({"description", "requestBody"})


@pytest.mark.parametrize(
    ("role", "paths"),
    [
        (Role.COMMAND, {"/commands/PlanTrip"}),
        (Role.QUERY, {"/queries/TripsLike", "/queries/Fares"}),
        (Role.PROJECTOR, set[str]()),
    ],
)
def test_a_role_is_described_with_what_it_serves(role: Role, paths: set[str]) -> None:
    document = json.loads(json.dumps(describe(APPS[-1], "", role)))
    validate(document)
    assert {path for path, _ in operations(document)} == {*paths, "/livez", "/readyz", "/metrics"}


def test_reading_one_s_own_write_is_described_by_header_and_by_cookie() -> None:
    parameters = TRIPS["components"]["parameters"]
    assert {(each["name"], each["in"]) for each in parameters.values()} >= {
        ("Twofold-After", "header"),
        ("twofold-position", "cookie"),
    }
    assert TRIPS["paths"]["/queries/Fares"]["get"]["x-cookies"] == [{"$ref": "#/components/parameters/TwofoldPosition"}]
    assert "Set-Cookie" in TRIPS["paths"]["/commands/PlanTrip"]["post"]["responses"]["200"]["headers"]


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_every_example_is_what_its_schema_allows(app: Application) -> None:
    document = json.loads(json.dumps(describe(app)))
    for _, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            jsonschema.validate(content["example"], {**content["schema"], "components": document["components"]})
        for parameter in operation.get("parameters", []):
            if "schema" in parameter and parameter.get("required"):
                jsonschema.validate(parameter["example"], parameter["schema"])


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_every_error_has_its_codes_and_the_shape_of_a_problem(app: Application) -> None:
    document = json.loads(json.dumps(describe(app)))
    for path, operation in operations(document):
        for status, reference in operation["responses"].items():
            response = resolved(document, reference)
            if path == "/readyz" or int(status) < 400:
                continue
            problem, own = response["content"]["application/problem+json"]["schema"]["allOf"]
            assert problem == {"$ref": "#/components/schemas/Problem"}
            assert own["properties"]["status"] == {"const": int(status)}
            assert own["properties"]["code"].get("enum") or status == "409"
            assert ("Retry-After" in response.get("headers", {})) == (status == "503")


def test_a_problem_is_what_its_schema_says() -> None:
    schema = {**TRIPS["components"]["schemas"]["Problem"], "components": TRIPS["components"]}
    jsonschema.validate(msgspec.json.decode(problem_answer(TwofoldError("x")).body), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"status": "404"}, schema)
    assert set(Problem.__struct_fields__) == set(schema["properties"])


def test_rows_do_not_show_what_is_private() -> None:
    assert set(TRIPS["components"]["schemas"]["TripRow"]["properties"]) == {"trip_id", "first_at"}


def test_what_comes_in_is_described_as_it_is_taken() -> None:
    plan, stop = (TRIPS["components"]["schemas"][name]["properties"] for name in ("PlanTrip", "Stop"))
    assert plan["trip_id"] == {"type": "string", "minLength": 1, "maxLength": 200}
    assert plan["seats"]["maximum"] == 2**63 - 1
    assert stop["at"]["format"] == "date-time"
    assert [each["type"] for each in stop["fare"]["anyOf"]] == ["string", "number"]


def test_what_is_nested_is_sharpened_too() -> None:
    fares = TRIPS["components"]["schemas"]["Fares"]["properties"]
    assert [each["type"] for each in fares["fares"]["additionalProperties"]["anyOf"]] == ["string", "number"]
    assert next(each for each in fares["seats"]["anyOf"] if each["type"] == "array")["items"]["maximum"] == 2**63 - 1
    assert next(each for each in fares["trip_id"]["anyOf"] if each["type"] == "integer")["maximum"] == 2**63 - 1
    assert {"type": "number"} in next(each for each in fares["most"]["anyOf"] if "anyOf" in each)["anyOf"]


def test_the_fields_of_a_query_are_parameters_of_its_url() -> None:
    found = {
        each["name"]: each
        for each in TRIPS["paths"]["/queries/TripsLike"]["get"]["parameters"]
        if each["in"] == "query"
    }
    assert found["trip_id"]["required"]
    assert found["trip_id"]["schema"]["type"] == "array"
    assert found["before"]["schema"] == {"type": "string", "format": "date-time"}
    assert found["first"]["content"]["application/json"]["schema"]["$ref"].endswith("/Stop")
    assert found["limit"]["schema"]["default"] == 10


def test_read_models_are_described_with_key_fields_and_events() -> None:
    assert TRIPS["x-read-models"] == [
        {
            "name": "TripRow",
            "description": "",
            "key": ["trip_id"],
            "fields": [{"name": "trip_id", "kind": "text"}, {"name": "first_at", "kind": "datetime"}],
            "indexes": [["first_at"]],
            "search": [],
            "events": ["TripPlanned"],
        }
    ]


def test_the_server_is_the_prefix_that_the_door_is_mounted_at() -> None:
    openapi = OpenApi(APPS[-1])
    assert msgspec.json.decode(openapi.answer("").body)["servers"] == [{"url": "/"}]
    assert msgspec.json.decode(openapi.answer("/trips").body)["servers"] == [{"url": "/trips"}]
