"""docs/reference/http.md has every path, header, status and member that the OpenAPI description has."""

import re
from collections.abc import Iterator
from typing import Any, cast

from examples.shop import app
from tests.docs.pages import page, section
from twofold.http.app import asgi
from twofold.http.openapi import describe
from twofold.http.problems import MEANINGS, Problem
from twofold.settings import Settings

TEXT = page("reference/http.md")
DESCRIBED = describe(app)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DESCRIBED["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in a JSON value, however deep."""
    if isinstance(value, dict):
        yield cast("dict[str, Any]", value)
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from objects(each)


def in_general(name: str) -> str:
    return re.sub(r"/queries/\w+", "/queries/{QueryName}", re.sub(r"/commands/\w+", "/commands/{CommandName}", name))


def responses(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, response in operation["responses"].items():
        reference = response.get("$ref", "").rpartition("/")[2]
        yield status, DESCRIBED["components"]["responses"].get(reference, response)


def test_every_path_is_documented() -> None:
    assert not [name for name in {in_general(name) for name, _ in operations()} if f"`{name}`" not in TEXT]


def test_every_page_of_the_door_is_documented() -> None:
    pages = vars(asgi(app, Settings(event_log="memory:")))["_pages"]
    assert not [path for path in pages if path.count("/") == 1 and f"`GET {path}`" not in TEXT]


def test_every_header_that_a_client_may_send_is_documented() -> None:
    sent = {each["name"] for each in objects(DESCRIBED) if each.get("in") == "header"}
    assert {"Idempotency-Key", "If-Match", "Twofold-After", "Prefer"} <= sent
    assert not [header for header in sent if f"| `{header}: " not in TEXT]


def test_every_header_that_an_answer_may_have_is_documented() -> None:
    had = {header for _, operation in operations() for _, response in responses(operation)
           for header in response.get("headers", ())}  # fmt: skip
    assert {"ETag", "Twofold-Position", "Idempotent-Replayed", "Retry-After"} <= had
    assert not [header for header in had if f"`{header}" not in TEXT]


def test_every_status_is_documented() -> None:
    statuses = {status for _, operation in operations() for status, _ in responses(operation)} - {"200"}
    statuses |= {str(meaning.status) for meaning in MEANINGS.values()}
    shown = set(
        re.findall(r"\d{3}", " ".join(re.findall(r"^\| ([\d, ]+) \|", section(TEXT, "Problems"), re.MULTILINE)))
    )
    assert statuses <= shown


def test_every_member_of_a_problem_is_documented() -> None:
    shown = section(TEXT, "Problems")
    assert not [name for name in Problem.__struct_fields__ if f"`{name}`" not in shown]


def test_every_extension_of_openapi_is_documented() -> None:
    extensions = {name for each in objects(DESCRIBED) for name in each if name.startswith("x-")}
    assert {"x-events", "x-read-models"} <= extensions
    assert not [name for name in extensions if f"`{name}`" not in section(TEXT, "OpenAPI")]


def test_the_limits_are_those_of_the_settings() -> None:
    shown, settings = section(TEXT, "Limits"), Settings()
    for limit in (settings.http_max_connections, settings.max_waiting_commands, settings.max_waiting_queries):
        assert f"{limit:,}" in shown
    assert f"| {settings.http_body_timeout_s:g} s each |" in shown
    assert "| 1 MiB (`TWOFOLD_HTTP_MAX_BODY_BYTES`) |" in shown
    assert settings.http_max_body_bytes == 1 << 20
