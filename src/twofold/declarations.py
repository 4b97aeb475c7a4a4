"""How declared classes are read: class keywords, marked methods and their annotations.

Annotations are resolved when the application is made, not when the class is: by then every name of a module exists.
"""

from __future__ import annotations

import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, dataclass_transform

import msgspec

from twofold.errors import DeclarationError

__all__ = [
    "Marked",
    "State",
    "StateMeta",
    "admits_none",
    "check_fields",
    "check_json",
    "check_plain_method",
    "classes_in",
    "code_fingerprint",
    "fields_of",
    "hints_of",
    "mark",
    "marked",
    "parameters_of",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__twofold__"


if TYPE_CHECKING:
    # Type checkers are told of a plain base class: mypy does not look at class keywords under a metaclass.
    StateMeta = type

    @dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
    class _Struct:
        __struct_fields__: ClassVar[tuple[str, ...]]

else:

    class StateMeta(msgspec.StructMeta):
        """Makes aggregates and read models mutable structs with keyword-only fields, and keeps their class keywords.

        A struct has exactly its fields: assigning to a misspelt one raises AttributeError instead of losing the value.
        """

        def __new__(mcls, class_name, bases, namespace, /, **keywords):
            namespace["declared_keywords"] = keywords
            try:
                made = super().__new__(mcls, class_name, bases, namespace, kw_only=True)
            except TypeError as error:
                raise DeclarationError(f"{class_name}: {error}") from None
            made.check_keywords(keywords)
            return made

    _Struct = msgspec.Struct


class State(_Struct, metaclass=StateMeta):
    """What aggregates and read models have in common: typed fields that events fill."""

    declared_keywords: ClassVar[Mapping[str, Any]]

    @classmethod
    def check_keywords(cls, keywords: Mapping[str, Any]) -> None:
        """Refuse class keywords that are missing, unknown or of a wrong type, when the class is made."""


class Marked(typing.NamedTuple):
    """A method that a decorator marked: its name, itself, and what the decorator was given."""

    name: str
    function: Callable[..., Any]
    mark: Any


def mark(function: F, value: object) -> F:
    """Note on the function what its decorator said; the function itself stays as it is."""
    setattr(function, _MARK, value)
    return function


def marked(owner: object, kind: type[T]) -> Iterator[Marked]:
    """The owner's methods with a mark of this kind, in the order of their definition, base classes first."""
    found: dict[str, Any] = {}
    for each in reversed(inspect.getmro(owner) if isinstance(owner, type) else (type(owner),)):
        found.update(vars(each))
    for name, function in found.items():
        value = getattr(function, _MARK, None)
        if isinstance(value, kind):
            yield Marked(name, function, value)


def mark_of(function: object, kind: type[T]) -> T | None:
    """The mark of this kind on the function, if it has one."""
    value = getattr(function, _MARK, None)
    return value if isinstance(value, kind) else None


def fields_of(cls: type[Any], where: str) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a struct, with their resolved types; DeclarationError for names that don't resolve."""
    hints_of(cls, where)
    return msgspec.structs.fields(cls)


def check_fields(cls: type[Any]) -> None:
    """Refuse fields whose annotations don't resolve, and types of which JSON can't hold every value."""
    for each in fields_of(cls, cls.__name__):
        check_json(each.type, f"{cls.__name__}.{each.name}")


def check_json(annotation: Any, where: str) -> None:
    """DeclarationError for a type that JSON can't hold; a decoder would take any class and fail at the first value."""
    try:
        msgspec.json.schema(annotation)
        msgspec.json.Decoder(annotation)
    except TypeError:
        raise DeclarationError(
            f"{where}: JSON can't hold {annotation}; use plain values, enums of text or of whole numbers, "
            "dataclasses, and lists and dicts of them"
        ) from None


def hints_of(what: Any, where: str) -> dict[str, Any]:
    """The annotations of a class or function, resolved; DeclarationError for names that don't resolve."""
    try:
        return typing.get_type_hints(what, include_extras=True)
    except NameError as error:
        raise DeclarationError(
            f"{where}: the annotation names {error.name!r}, which its module does not have; "
            "import it (not only under TYPE_CHECKING) or define the class at module level"
        ) from None


def parameters_of(function: Callable[..., Any], where: str) -> list[tuple[str, Any]]:
    """Name and annotation of each parameter but self; DeclarationError where an annotation is missing."""
    hints = hints_of(function, where)
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    missing = [name for name in names if name not in hints]
    if missing:
        raise DeclarationError(f"{where}: the parameter {missing[0]!r} has no annotation; annotate it with its type")
    return [(name, hints[name]) for name in names]


def check_plain_method(function: Callable[..., Any], where: str) -> None:
    """Refuse a method whose body would not run when it is called: a coroutine or a generator changes nothing."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(f"{where}: is asynchronous, but may do no I/O; write def instead of async def")
    if inspect.isgeneratorfunction(function):
        raise DeclarationError(f"{where}: yields, but nobody takes what it yields; change self and return nothing")


def admits_none(annotation: Any) -> bool:
    """True when None is one of the annotation's values."""
    if annotation is types.NoneType:
        return True
    if typing.get_origin(annotation) is typing.Annotated:
        return admits_none(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(admits_none(each) for each in typing.get_args(annotation))
    return False


def classes_in(annotation: Any, kind: type[T]) -> list[type[T]]:
    """Every class of a kind that an annotation names, however nested: `Iterable[A | B] | None` gives A and B."""
    if isinstance(annotation, type) and issubclass(annotation, kind) and not isinstance(annotation, types.GenericAlias):
        return [annotation]
    found: list[type[T]] = []
    for argument in typing.get_args(annotation):
        found.extend(each for each in classes_in(argument, kind) if each not in found)
    return found


def code_fingerprint(*parts: object, owner: type[Any] | None = None) -> str:
    """A digest of code and values that changes when any of them does.

    Functions count by bytecode, constants and names, so comments and line numbers don't change it; another Python
    version does, which costs a rebuild and nothing else. With them count the functions that they name: of their module,
    and methods of the owner. Methods of other classes do not: nothing says whose they are.
    """
    digest = hashlib.sha256()
    for part in parts:
        for each in _reached(part, owner) if isinstance(part, types.FunctionType) else (part,):
            digest.update(_essence(each).encode())
            digest.update(b"\0")
    return digest.hexdigest()[:32]


def _reached(function: types.FunctionType, owner: type[Any] | None) -> list[types.FunctionType]:
    """The function and all that it names, directly or not, in an order that is the same in every process."""
    found: dict[str, types.FunctionType] = {}
    todo = [function]
    while todo:
        each = todo.pop()
        found[f"{each.__module__}.{each.__qualname__}"] = each
        for name in _names(each.__code__):
            named = [each.__globals__.get(name), inspect.getattr_static(owner, name, None)]
            functions = [method for value in named if isinstance(method := _plain(value), types.FunctionType)]
            todo += [new for new in functions if new not in found.values()]
    return [found[name] for name in sorted(found)]


def _names(code: types.CodeType) -> set[str]:
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return {*code.co_names, *(name for each in inner for name in _names(each))}


def _plain(value: object) -> object:
    """The function behind a property, a static or a class method."""
    if isinstance(value, property):
        return value.fget
    return getattr(value, "__func__", value)


def _essence(part: object) -> str:
    if isinstance(part, types.FunctionType):
        return f"{_essence(part.__code__)}{_essence(part.__defaults__)}"
    if isinstance(part, types.CodeType):
        constants = [_essence(each) for each in part.co_consts]
        return f"{part.co_code.hex()}{constants}{part.co_names}"
    if isinstance(part, frozenset):  # in an order that is the same in every process
        return f"frozenset({sorted(map(_essence, cast('frozenset[object]', part)))})"
    if isinstance(part, tuple):
        return f"({', '.join(map(_essence, cast('tuple[object, ...]', part)))})"
    return type(part).__qualname__ if callable(part) and not isinstance(part, type) else repr(part)
