"""JSON Schemas of messages and answers, sharpened to what the service really takes and gives.

msgspec writes the schemas. Added here is what it can't know: 64 bits for integers, numbers as well as strings for
decimals that come in, the length of a key; and what it says too much: the private field of read models.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Sequence
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect

from twofold.application import Application
from twofold.read_model import ReadModel
from twofold.streams import MAX_KEY_LENGTH

__all__ = ["Json", "Schemas"]

Json = dict[str, Any]

_REF = "#/components/schemas/"
_INT64 = {"minimum": -(2**63), "maximum": 2**63 - 1}
_DECIMAL = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?$"


class Schemas:
    """The schemas of an application's commands, queries and answers, and of what the door itself answers with."""

    def __init__(self, app: Application, others: Sequence[type[Any]]) -> None:
        came_in = [each.handler.command for each in app.commands.values()]
        came_in += [each.answer.query for each in app.queries.values()]
        went_out: list[Any] = [each.answer.returns for each in app.queries.values()]
        inside = list(_classes(map(inspect.type_info, came_in)))
        outside = list(_classes(map(inspect.type_info, went_out)))
        roots = [*came_in, *went_out, *others]
        wanted: list[Any] = [*roots, *inside, *outside]
        made, self.components = msgspec.json.schema_components(wanted, ref_template=_REF + "{name}")
        self._made = dict(zip(map(_hashable, wanted), made, strict=True))
        for each in self.components.values():
            _tidy(each)
        for cls in {*inside, *outside}:
            self._sharpen(cls, is_input=cls in inside)
        for command in app.commands.values():
            self._limit_key(command.handler.command, command.handler.aggregate.key)

    def of(self, kind: Any) -> Json:
        """The schema, or a reference to it."""
        return self._made[_hashable(kind)]

    def fields_of(self, cls: type[Any]) -> Json:
        """The properties of a message's schema, by field."""
        return self._component(cls).get("properties", {})

    def _component(self, cls: Any) -> Json:
        return self.components[self.of(cls)["$ref"].removeprefix(_REF)]

    def _sharpen(self, cls: type[Any], *, is_input: bool) -> None:
        schema, kind = self._component(cls), inspect.type_info(cls)
        properties: Json = schema.get("properties", {})
        if issubclass(cls, ReadModel):
            properties.pop("_deleted", None)
        if isinstance(kind, inspect.StructType | inspect.DataclassType | inspect.TypedDictType):
            for field in kind.fields:
                if field.encode_name in properties:
                    _sharpen(properties[field.encode_name], field.type, is_input=is_input)

    def _limit_key(self, command: type[Any], key: str) -> None:
        schema = self.fields_of(command).get(key, {})
        if schema.get("type") == "string":
            schema.setdefault("minLength", 1)
            schema.setdefault("maxLength", MAX_KEY_LENGTH)


def _hashable(kind: Any) -> Any:
    return kind if isinstance(kind, type) and not typing.get_args(kind) else repr(kind)


def _classes(kinds: Iterable[inspect.Type]) -> Iterator[type[Any]]:
    """Every class with fields that the types hold, each once."""
    seen: dict[type[Any], None] = {}
    todo = list(kinds)
    while todo:
        kind = todo.pop()
        match kind:
            case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
                if kind.cls not in seen:
                    seen[kind.cls] = None
                    todo += [each.type for each in kind.fields]
            case inspect.Metadata(type=inner) | inspect.CollectionType(item_type=inner):
                todo.append(inner)
            case inspect.UnionType(types=inner) | inspect.TupleType(item_types=inner):
                todo += inner
            case inspect.DictType(key_type=keys, value_type=values):
                todo += [keys, values]
            case _:
                pass
    yield from seen


def _tidy(schema: Json) -> None:
    if "description" in schema:
        schema["description"] = cleandoc(schema["description"])


def _sharpen(schema: Json, kind: inspect.Type, *, is_input: bool) -> None:
    match kind:
        case inspect.Metadata(type=inner):
            _sharpen(schema, inner, is_input=is_input)
        case inspect.UnionType(types=types):
            for each in types:
                for option in schema.get("anyOf", ()):
                    if _is_schema_of(option, each):
                        _sharpen(option, each, is_input=is_input)
        case inspect.CollectionType(item_type=item) if "items" in schema:
            _sharpen(schema["items"], item, is_input=is_input)
        case inspect.DictType(value_type=values) if "additionalProperties" in schema:
            _sharpen(schema["additionalProperties"], values, is_input=is_input)
        case inspect.DateTimeType():
            schema.setdefault("format", "date-time")
        case inspect.IntType() if is_input:
            schema.update(_INT64 | schema)
        case inspect.DecimalType() if is_input:
            kept = {name: schema.pop(name) for name in ("type", "format")}
            schema["anyOf"] = [{**kept, "pattern": _DECIMAL}, {"type": "number"}]
        case _:
            pass


def _is_schema_of(schema: Json, kind: inspect.Type) -> bool:
    """Whether this member of an anyOf is about that type, as far as it matters here."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    match kind:
        case inspect.IntType():
            return schema.get("type") == "integer"
        case inspect.DecimalType():
            return schema.get("format") == "decimal"
        case inspect.DateTimeType():
            return schema.get("type") == "string" and "format" not in schema
        case inspect.CollectionType():
            return schema.get("type") == "array"
        case inspect.DictType():
            return schema.get("type") == "object"
        case _:
            return False
