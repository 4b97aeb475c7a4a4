"""The OpenAPI 3.1 description, made from the application: every command and query, every header, every error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from inspect import getdoc
from typing import Any

import msgspec
from msgspec import inspect

from twofold import errors
from twofold.application import Application, CommandType, QueryType
from twofold.errors import TwofoldError
from twofold.http import problems
from twofold.http.answers import Answer, json_answer
from twofold.http.commands import CommandDone
from twofold.http.examples import example_of
from twofold.http.headers import MAX_WAIT_S
from twofold.http.health import Readiness
from twofold.http.problems import Problem, meaning_of
from twofold.http.queries import Form, form_of
from twofold.http.schemas import Json, Schemas
from twofold.messages import Command, Query
from twofold.read_model import ReadModelType
from twofold.settings import Role

__all__ = ["OpenApi", "describe"]

Errors = Sequence[type[TwofoldError]]

EVERYWHERE: Errors = (
    problems.MalformedHttpError,
    problems.HeadTimeoutError,
    problems.HeadTooLargeError,
    errors.OverloadedError,
)
WORK: Errors = (
    *EVERYWHERE,
    problems.InvalidHeaderError,
    errors.InvalidMessageError,
    errors.HandlerFailedError,
    errors.CorruptStoreError,
    errors.StoreError,
    errors.StoppingError,
    errors.StoreUnavailableError,
    errors.UnknownOutcomeError,
    problems.NotStartedError,
)
BODY: Errors = (
    errors.MalformedJsonError,
    problems.BodyTimeoutError,
    problems.BodyTooLargeError,
    problems.UnsupportedMediaTypeError,
)
ANY_COMMAND: Errors = (
    *WORK,
    *BODY,
    errors.InvalidCommandIdError,
    errors.InvalidKeyError,
    errors.Rejected,
    errors.WrongExpectedVersionError,
    errors.CommandIdReusedError,
    errors.UndecodableEventError,
    errors.ContentionError,
    errors.CommandTimeoutError,
)
COMMAND: Errors = (*ANY_COMMAND, errors.NotFoundError)
CREATING_COMMAND: Errors = (*ANY_COMMAND, errors.AlreadyExistsError)
QUERY: Errors = (
    *WORK,
    errors.InvalidInputError,
    errors.NotYetConsistentError,
    errors.ReadModelNotReadyError,
    errors.QueryTimeoutError,
)
QUERY_BY_GET: Errors = (*QUERY, problems.MalformedQueryStringError)
QUERY_BY_POST: Errors = (*QUERY, *BODY)

_STATUS_TEXTS = {
    400: "It can't be read as it is.",
    404: "There is nothing of this name.",
    408: "It came too slowly.",
    409: "The domain says no. `code` is the refusal's own.",
    412: "The stream is not at the version of If-Match.",
    413: "The body is too large.",
    415: "The body is not declared to be JSON.",
    422: "A field has a wrong value, or the command id belongs to another command.",
    431: "The headers are too large.",
    500: "The service failed. Its log has the details under the correlation id.",
    503: "Not now: try again after `Retry-After` seconds.",
}
_POSITION = {"description": "a position in the event log, as Twofold-After takes it", "schema": {"type": "string"}}
_STALE: Json = {
    "Age": {"description": "seconds since a stale answer was made", "schema": {"type": "integer", "minimum": 0}},
    "Cache-Status": {
        "description": "of a stale answer: from memory, in the place of which problem",
        "schema": {"type": "string"},
    },
}
_RETRY_AFTER = {"description": "seconds to wait before trying again", "schema": {"type": "integer", "minimum": 1}}
_CORRELATION = {
    "name": "X-Correlation-ID",
    "in": "header",
    "description": "names the conversation that this belongs to; recorded with the events, and sent back",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
_COMMAND_HEADERS: Sequence[Json] = (
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "the command id: the same key with the same command gets the first answer again",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    },
    {
        "name": "If-Match",
        "in": "header",
        "description": 'the version that the stream must be at, as in an ETag: "3"',
        "schema": {"type": "string", "pattern": '^(W/)?"[0-9]{1,18}"$'},
    },
    _CORRELATION,
)
# Not listed among the parameters of operations, since only a position that the client was given means anything: a tool
# that makes up values would be answered "not yet consistent", which is no fault of the service.
_READ_YOUR_WRITE: Json = {
    "TwofoldAfter": {
        "name": "Twofold-After",
        "in": "header",
        "description": "the answer reflects this position or a later one: the Twofold-Position of an earlier answer",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        "example": "17",
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": f"wait=5: wait at most 5 seconds for that position (at most {MAX_WAIT_S:g})",
        "schema": {"type": "string"},
        "example": "wait=5",
    },
}
_DEADLINE: Json = {
    "RequestTimeout": {
        "name": "Request-Timeout",
        "in": "header",
        "description": "seconds that the client waits: what is not begun by then is not begun, and answered 503",
        "schema": {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$"},
        "example": "2.5",
    },
}
_DEADLINE_REFS = [{"$ref": f"#/components/parameters/{name}"} for name in _DEADLINE]
_READ_YOUR_WRITE_REFS = [{"$ref": f"#/components/parameters/{name}"} for name in _READ_YOUR_WRITE]
_COOKIE: Json = {
    "TwofoldPosition": {
        "name": "twofold-position",
        "in": "cookie",
        "description": "as Twofold-After, which is stronger: what the last command's answer has set",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        "example": "17",
    },
}
_COOKIE_REFS = [{"$ref": f"#/components/parameters/{name}"} for name in _COOKIE]


class OpenApi:
    """The description as an answer, made when it is first asked for."""

    def __init__(self, app: Application, role: Role = Role.ALL) -> None:
        @lru_cache(maxsize=8)
        def body(prefix: str) -> bytes:
            return msgspec.json.encode(describe(app, prefix, role))

        self._body = body

    def answer(self, prefix: str) -> Answer:
        """`prefix` is the path that the door is mounted at, "" for none."""
        return json_answer(200, self._body(prefix))


def describe(app: Application, prefix: str = "", role: Role = Role.ALL) -> Json:
    """The OpenAPI document as plain values: what a service of this role serves."""
    schemas = Schemas(app, [CommandDone, Problem, Readiness])
    refusals = {name: _refusals(kinds, schemas) for name, kinds in _REFUSALS.items()}
    paths: Json = {}
    for name, each in app.commands.items() if role.decides else ():
        paths[f"/commands/{name}"] = {"post": _command(each, schemas)}
    for name, each in app.queries.items() if role.answers else ():
        paths[f"/queries/{name}"] = {"get": _query_by_get(each, schemas), "post": _query_by_post(each, schemas)}
    return {
        "openapi": "3.1.0",
        "info": {"title": app.name, "version": "1", "description": _ABOUT},
        "servers": [{"url": prefix or "/"}],
        "paths": {**paths, **_service_paths(schemas)},
        "components": {
            "schemas": schemas.components,
            "parameters": {**_READ_YOUR_WRITE, **_DEADLINE, **_COOKIE},
            "responses": {f"{name}{status}": each for name, of in refusals.items() for status, each in of.items()},
        },
        "x-read-models": [_read_model(each) for each in app.read_models.values() if role is not Role.COMMAND],
    }


_ABOUT = """Commands change the system and are answered when they are durable. Queries are answered from read models,
which follow a moment later: send the `Twofold-Position` of a command as `Twofold-After` to read your own write, with
`Prefer: wait=5` to wait for it at most so many seconds. Browsers do so by themselves, with a cookie.
Errors are problem details (RFC 9457) with a stable `code`."""


def _command(command: CommandType, schemas: Schemas) -> Json:
    kind, handler = command.handler.command, command.handler
    events = [each.stored_name for each in handler.events]
    done = {
        "description": "Done and durable.",
        "headers": {
            "ETag": {"description": "the stream's version, in quotes", "schema": {"type": "string"}},
            "Twofold-Position": _POSITION,
            "Set-Cookie": {
                "description": "`twofold-position`, for the browser's next queries (setting: position_cookie)",
                "schema": {"type": "string"},
            },
            "Idempotent-Replayed": {
                "description": "true when this is the first answer again",
                "schema": {"type": "string", "const": "true"},
            },
        },
        "content": {"application/json": {"schema": schemas.of(CommandDone)}},
    }
    return {
        "operationId": command.name,
        **_texts(kind, command.name, Command),
        "tags": [handler.aggregate.cls.__name__],
        "parameters": list(_COMMAND_HEADERS),
        "requestBody": _body(kind, schemas),
        "responses": {"200": done, **_refused("CreatingCommand" if handler.creates else "Command")},
        "x-headers": _DEADLINE_REFS,
        "x-events": events,
        "x-creates": handler.creates,
    }


def _query_by_get(query: QueryType, schemas: Schemas) -> Json:
    return {
        "operationId": query.name,
        **_texts(query.answer.query, query.name, Query),
        "tags": ["Queries"],
        "parameters": [*_parameters(query, schemas), _CORRELATION],
        "responses": {"200": _answered(query, schemas), **_refused("Query")},
        "x-headers": [*_READ_YOUR_WRITE_REFS, *_DEADLINE_REFS],
        "x-cookies": _COOKIE_REFS,
        "x-read-models": [view.__name__ for _, view in query.answer.views],
    }


def _query_by_post(query: QueryType, schemas: Schemas) -> Json:
    return {
        "operationId": f"{query.name}ByPost",
        **_texts(query.answer.query, query.name, Query),
        "tags": ["Queries"],
        "parameters": [_CORRELATION],
        "requestBody": _body(query.answer.query, schemas),
        "responses": {"200": _answered(query, schemas), **_refused("QueryByPost")},
        "x-headers": [*_READ_YOUR_WRITE_REFS, *_DEADLINE_REFS],
        "x-cookies": _COOKIE_REFS,
    }


def _answered(query: QueryType, schemas: Schemas) -> Json:
    stale = _STALE if query.answer.query.stale_ok_s is not None else {}
    return {
        "description": "The answer, and the position that it reflects.",
        "headers": {"Twofold-Position": _POSITION, **stale},
        "content": {"application/json": {"schema": schemas.of(query.answer.returns)}},
    }


def _parameters(query: QueryType, schemas: Schemas) -> list[Json]:
    described = inspect.type_info(query.answer.query)
    assert isinstance(described, inspect.StructType)
    properties, example = schemas.fields_of(query.answer.query), example_of(query.answer.query)
    found: list[Json] = []
    for field in described.fields:
        name, form = field.encode_name, form_of(field.type)
        schema = _without_null(properties[name])
        parameter: Json = {"name": name, "in": "query", "required": field.required}
        if form is Form.JSON:
            parameter["content"] = {"application/json": {"schema": schema}}
        else:
            parameter["schema"] = schema
        if field.required:
            parameter["example"] = example[name]
        found.append(parameter)
    return found


def _without_null(schema: Json) -> Json:
    """A URL has no null: the parameter is left out."""
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not options:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf" and value is not None}
    return rest | (options[0] if len(options) == 1 else {"anyOf": options})


def _body(kind: type[Any], schemas: Schemas) -> Json:
    return {
        "required": True,
        "content": {"application/json": {"schema": schemas.of(kind), "example": example_of(kind)}},
    }


def _texts(kind: type[Any], name: str, base: type[Any]) -> Json:
    """Summary and description from the class's own docstring."""
    doc = getdoc(kind)
    if not doc or doc == getdoc(base):
        return {"summary": name}
    first, _, rest = doc.partition("\n\n")
    return {"summary": name, "description": f"{first}\n\n{rest}".strip()}


_REFUSALS: Mapping[str, Errors] = {
    "Command": COMMAND,
    "CreatingCommand": CREATING_COMMAND,
    "Query": QUERY_BY_GET,
    "QueryByPost": QUERY_BY_POST,
    "Service": EVERYWHERE,
}


def _refused(name: str) -> Json:
    """References to the responses of this kind of operation, by status."""
    statuses = sorted({meaning_of(kind).status for kind in _REFUSALS[name]})
    return {str(status): {"$ref": f"#/components/responses/{name}{status}"} for status in statuses}


def _refusals(kinds: Errors, schemas: Schemas) -> dict[int, Json]:
    """One response per status, with every code that it may have."""
    by_status: dict[int, list[type[TwofoldError]]] = {}
    for kind in kinds:
        by_status.setdefault(meaning_of(kind).status, []).append(kind)
    return {status: _refusal(status, found, schemas) for status, found in sorted(by_status.items())}


def _refusal(status: int, kinds: Errors, schemas: Schemas) -> Json:
    codes = sorted({each.code for each in kinds})
    code: Json = {"type": "string", "enum": codes}
    if errors.Rejected in kinds:  # whose codes are the domain's
        code = {"type": "string", "examples": codes}
    schema = {"allOf": [schemas.of(Problem), {"properties": {"code": code, "status": {"const": status}}}]}
    found: Json = {
        "description": f"{_STATUS_TEXTS[status]} Codes: {', '.join(codes)}",
        "content": {"application/problem+json": {"schema": schema}},
    }
    if any(issubclass(each, errors.UnavailableError) for each in kinds):
        found["headers"] = {"Retry-After": _RETRY_AFTER}
    return found


def _service_paths(schemas: Schemas) -> Json:
    ready = {"application/json": {"schema": schemas.of(Readiness)}}
    overloaded = _refusals(EVERYWHERE, schemas)[503]["content"]
    alive = {"application/json": {"schema": {"type": "object", "properties": {"status": {"const": "alive"}}}}}
    text = {"text/plain": {"schema": {"type": "string"}}}
    readiness = {
        "200": {"description": "Ready, or degraded: `reasons` says what does not work.", "content": ready},
        "503": {"description": "Not ready: starting, stopping, or overloaded.", "content": ready | overloaded},
    }
    return {
        "/livez": _page("livez", "The process lives.", {"200": {"description": "It lives.", "content": alive}}),
        "/readyz": _page("readyz", "The system is ready for work; and how its read models stand.", readiness),
        "/metrics": _page("metrics", "Metrics for Prometheus.", {"200": {"description": "Text.", "content": text}}),
    }


def _page(name: str, summary: str, responses: Json) -> Json:
    about = {"operationId": name, "summary": summary, "tags": ["Service"]}
    return {"get": {**about, "responses": {**_refused("Service"), **responses}}}


def _read_model(model: ReadModelType) -> Json:
    return {
        "name": model.name,
        "description": getdoc(model.cls) if getdoc(model.cls) != getdoc(model.cls.__mro__[1]) else "",
        "key": list(model.key),
        "fields": [{"name": each.name, "kind": each.kind.value} for each in model.table.columns],
        "indexes": [list(each) for each in model.table.indexes],
        "search": list(model.table.search),
        "events": [each.stored_name for each in model.handlers],
    }
