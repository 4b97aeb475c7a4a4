"""Queries over HTTP: `GET /queries/{QueryName}?field=value`, or POST with the query's fields as JSON.

In a URL a list is a repeated parameter, and a field that no text can hold (an object, say) is JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import inspect

from twofold.application import Application, QueryType
from twofold.codec import escaped
from twofold.errors import InvalidMessageError
from twofold.http.answers import Answer, Receive
from twofold.http.headers import Conversation, Headers, check_json, cookie_position, timeout_s, wait_s, wanted_position
from twofold.http.limits import Bodies
from twofold.http.problems import MalformedQueryStringError, MethodNotAllowedError
from twofold.http.stale import STANDS_IN_FOR, Remembered, StaleAnswers
from twofold.messages import Query
from twofold.runtime.lifecycle import System
from twofold.settings import Settings

__all__ = ["QUERY_METHODS", "Form", "Queries", "form_of"]

QUERY_METHODS = "GET, HEAD, POST, OPTIONS"
_JSON = (b"content-type", b"application/json")


class Form(Enum):
    """How a query's field stands in a URL."""

    TEXT = "text"
    LIST = "list"
    JSON = "json"


_OBJECTS = (
    inspect.StructType
    | inspect.DataclassType
    | inspect.TypedDictType
    | inspect.NamedTupleType
    | inspect.DictType
    | inspect.TupleType
    | inspect.AnyType
)


def form_of(kind: inspect.Type) -> Form:
    """The form of a field of this type; a list of anything but texts is JSON too."""
    match kind:
        case inspect.Metadata(type=inner):
            return form_of(inner)
        case inspect.UnionType(types=types):
            forms = {form_of(each) for each in types if not isinstance(each, inspect.NoneType)}
            return forms.pop() if len(forms) == 1 else Form.JSON
        case inspect.CollectionType(item_type=item):
            return Form.LIST if form_of(item) is Form.TEXT else Form.JSON
        case _:
            return Form.JSON if isinstance(kind, _OBJECTS) else Form.TEXT


class Queries:
    """Takes queries from HTTP to the system, and its answers back."""

    def __init__(
        self, app: Application, bodies: Bodies, settings: Settings, on_stale: Callable[[str, str], None]
    ) -> None:
        """`on_stale` is told of each stale answer: the query, and the code of the error that it stands in for."""
        self._app, self._bodies, self._cookie = app, bodies, settings.position_cookie
        self._stale, self._on_stale = StaleAnswers(settings.stale_answers_bytes), on_stale
        self._forms = {name: _forms(kind) for name, kind in app.queries.items()}
        self._encode = msgspec.json.Encoder().encode

    def named(self, name: str) -> QueryType:
        return self._app.queries.get(name) or self._app.query_named(name)

    async def answer(
        self,
        system: System,
        name: str,
        method: str,
        headers: Headers,
        talk: Conversation,
        query_string: bytes,
        receive: Receive,
    ) -> Answer:
        kind = self.named(name)
        query: Query[Any]
        if method in ("GET", "HEAD"):
            query = kind.codec.from_texts(parameters(name, self._forms[name], query_string))
        elif method == "POST":
            check_json(headers)
            query = kind.codec.decode(await self._bodies.read(headers, receive))
        else:
            raise MethodNotAllowedError(method, QUERY_METHODS)
        after = wanted_position(headers)
        if after is None and self._cookie and b"cookie" in headers:
            after = await _own_write(system, headers)
        if kind.answer.query.stale_ok_s is not None:
            return await self._or_stale(system, kind, query, after, headers, talk)
        value, position = await system.answer(
            query,
            after=after,
            wait_s=wait_s(headers),
            timeout_s=timeout_s(headers),
            correlation_id=talk.correlation_id,
        )
        return _answered(self._encode(value), position)

    async def _or_stale(
        self,
        system: System,
        kind: QueryType,
        query: Query[Any],
        after: int | None,
        headers: Headers,
        talk: Conversation,
    ) -> Answer:
        """The answer, or the last one when there can be none and it may stand in."""
        fields, within_s = self._encode(query), timeout_s(headers)
        try:
            value, position = await system.answer(
                query, after=after, wait_s=wait_s(headers), timeout_s=within_s, correlation_id=talk.correlation_id
            )
        except STANDS_IN_FOR as error:
            stale_ok_s = kind.answer.query.stale_ok_s or 0.0
            found = self._stale.find(kind.name, fields, after=after, stale_ok_s=stale_ok_s)
            if found is None:
                raise
            self._on_stale(kind.name, error.code)
            return _stale(*found, error.code)
        body = self._encode(value)
        self._stale.remember(kind.name, fields, body, position)
        return _answered(body, position)


def _answered(body: bytes, position: int) -> Answer:
    length = (b"content-length", b"%d" % len(body))
    return Answer(200, [_JSON, length, (b"twofold-position", b"%d" % position)], body, position=position)


def _stale(remembered: Remembered, age_s: int, code: str) -> Answer:
    """As it was, with its age (RFC 9111), and how it comes to be given (RFC 9211): from memory, and why."""
    answer = _answered(remembered.body, remembered.position)
    answer.headers.append((b"age", b"%d" % age_s))
    answer.headers.append((b"cache-status", b"twofold; hit; ttl=%d; detail=%b" % (-age_s, code.encode())))
    return answer


async def _own_write(system: System, headers: Headers) -> int | None:
    """The position in the cookie, unless the log is seen not to have it: browsers send the cookies of one port of a
    machine to all others, where other systems may be."""
    position, log = cookie_position(headers), system.stores.log
    if position is None or log is None or all(each.position >= position for each in system.progress.values()):
        return position
    return position if position <= await log.head() else None


def _forms(kind: QueryType) -> dict[str, Form]:
    described = inspect.type_info(kind.answer.query)
    assert isinstance(described, inspect.StructType)
    return {each.encode_name: form_of(each.type) for each in described.fields}


def parameters(name: str, forms: dict[str, Form], query_string: bytes) -> dict[str, Any]:
    """The fields that a query string gives; InvalidMessageError for one that is given twice, or is no JSON."""
    fields: dict[str, Any] = {}
    for field, text in pairs(query_string):
        form = forms.get(field, Form.TEXT)
        if form is Form.LIST:
            fields.setdefault(field, []).append(text)
        elif field in fields:
            raise InvalidMessageError(name, "the parameter is given more than once", f"/{escaped(field)}")
        else:
            fields[field] = text if form is Form.TEXT else _json(name, field, text)
    return fields


def pairs(query_string: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of a query string; MalformedQueryStringError when it is not percent-encoded UTF-8."""
    plain = b"%" not in query_string and b"+" not in query_string
    try:
        for part in query_string.split(b"&"):
            if part:
                field, _, value = part.partition(b"=")
                yield (field.decode(), value.decode()) if plain else (_unquoted(field), _unquoted(value))
    except UnicodeDecodeError as error:
        raise MalformedQueryStringError(error.reason) from None


def _unquoted(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode()


def _json(name: str, field: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidMessageError(name, f"the parameter is not valid JSON: {error}", f"/{escaped(field)}") from None
