"""Example values made from types, so that every command and query can be tried as it stands.

A field with a default shows its default; the others get a value that their type and its constraints accept.
"""

from __future__ import annotations

import math
from typing import Any, cast

import msgspec
from msgspec import inspect

__all__ = ["example_of"]

_TEXTS: dict[type[inspect.Type], Any] = {
    inspect.AnyType: "anything",
    inspect.NoneType: None,
    inspect.BoolType: True,
    inspect.DecimalType: "9.99",
    inspect.DateTimeType: "2026-01-31T09:30:00Z",
    inspect.DateType: "2026-01-31",
    inspect.TimeType: "09:30:00Z",
    inspect.TimeDeltaType: "PT1H30M",
    inspect.UUIDType: "0b5f3c52-6a1e-4c0e-9d6a-3f1f6a2f7c11",
    inspect.BytesType: "dHdvZm9sZA==",
    inspect.ByteArrayType: "dHdvZm9sZA==",
}
_DEEPEST = 12


def example_of(kind: type[Any]) -> Any:
    """An example of the type as plain JSON values."""
    return _example(inspect.type_info(kind), "", 0)


def _example(kind: inspect.Type, name: str, depth: int) -> Any:
    if depth > _DEEPEST:  # a type that holds itself
        return None
    match kind:
        case inspect.Metadata(type=inner):
            given = cast("dict[str, Any]", getattr(kind, "extra_json_schema", None) or {}).get("examples")
            return given[0] if given else _example(inner, name, depth)
        case inspect.IntType():
            return _number(kind, 1)
        case inspect.FloatType():
            return _number(kind, 0.1)
        case inspect.StrType():
            return _text(kind, name)
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.UnionType(types=types):
            some = [each for each in types if not isinstance(each, inspect.NoneType)]
            return _example(some[0], name, depth)
        case _ if type(kind) in _TEXTS:
            return _TEXTS[type(kind)]
        case _:
            return _nested(kind, name, depth + 1)


def _nested(kind: inspect.Type, name: str, depth: int) -> Any:
    match kind:
        case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
            tag = {kind.tag_field: kind.tag} if isinstance(kind, inspect.StructType) and kind.tag_field else {}
            shown = [each for each in kind.fields if each.required or _has_default(each)]
            return tag | {each.encode_name: _field(each, depth) for each in shown}
        case inspect.NamedTupleType(fields=fields):
            return [_field(each, depth) for each in fields]
        case inspect.TupleType(item_types=types):
            return [_example(each, name, depth) for each in types]
        case inspect.DictType(key_type=keys, value_type=values):
            return {str(_example(keys, "key", depth)): _example(values, name, depth)}
        case inspect.CollectionType(item_type=item):
            item_name = name.removesuffix("s")
            return [_example(item, item_name, depth) for _ in range(max(1, kind.min_length or 0))]
        case _:
            return None


def _has_default(field: inspect.Field) -> bool:
    return field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT


def _field(field: inspect.Field, depth: int) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return _example(field.type, field.encode_name, depth)


def _text(kind: inspect.StrType, name: str) -> str:
    """ "customer_id" becomes "customer-1", "name" becomes "a name"; stretched or cut to the allowed length."""
    is_id = name.endswith("_id") or name in ("id", "key", "sku", "code")
    text = f"{name.removesuffix('_id').replace('_', '-')}-1" if is_id else f"a {name.replace('_', ' ') or 'text'}"
    return text.ljust(kind.min_length or 0, "x")[: kind.max_length]


def _number(kind: inspect.IntType | inspect.FloatType, step: float) -> Any:
    """A number near 1 that the bounds accept: `multiple_of` with them is met where the least bound allows it."""
    least = kind.ge if kind.ge is not None else kind.gt + step if kind.gt is not None else None
    most = kind.le if kind.le is not None else kind.lt - step if kind.lt is not None else None
    value: float = 1
    if least is not None:
        value = max(value, least)
    if most is not None:
        value = min(value, most)
    if kind.multiple_of:
        value = math.ceil(value / kind.multiple_of) * kind.multiple_of
    return int(value) if isinstance(kind, inspect.IntType) else float(value)
