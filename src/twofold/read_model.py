"""Read models: rows folded from the whole log by key, made to be asked.

A row is created on first touch from its key and the defaults, so every other field needs a default.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast, overload
from uuid import UUID

import msgspec

from twofold.declarations import (
    Marked,
    State,
    StateMeta,
    admits_none,
    check_json,
    check_plain_method,
    code_fingerprint,
    fields_of,
    hints_of,
    mark,
    marked,
    parameters_of,
)
from twofold.errors import DeclarationError
from twofold.messages import Event, Recorded, is_message
from twofold.tables import Column, ColumnKind, Key, Row, Table

__all__ = ["FoldHandler", "ReadModel", "ReadModelType", "on"]

E = TypeVar("E", bound=Event)
S = TypeVar("S")
K = TypeVar("K")

Keys = str | tuple[str, ...] | Callable[[Any], Any]


class ReadModel(State, metaclass=StateMeta):
    """Rows folded from events: `class Balance(ReadModel, key="account_id", index=["owner"])`.

    `key` names the key field, or a tuple of fields. `index` names fields (or tuples of them) to find rows by; `search`
    names text fields under full-text search. `name` overrides the stored name (default: the class's name).
    `partitions` says among how many projectors its keys can be shared out (1 to 256, default 1).
    """

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            key: str | tuple[str, ...],
            index: Sequence[str | tuple[str, ...]] = (),
            search: Sequence[str] = (),
            name: str | None = None,
            partitions: int = 1,
        ) -> None: ...
    else:
        _deleted: bool | msgspec.UnsetType = msgspec.UNSET

    _allowed: ClassVar[tuple[str, ...]] = ("key", "index", "search", "name", "partitions")

    def delete(self) -> None:
        """Remove this row when the handler is done. A later event of the key creates it anew."""
        self._deleted = True  # pyright: ignore[reportAttributeAccessIssue, reportUnannotatedClassAttribute] - hidden above

    @property
    def is_deleted(self) -> bool:
        return self._deleted is not msgspec.UNSET  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    def __repr__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__[1:])
        return f"{type(self).__name__}({', '.join(fields)})"

    @classmethod
    def check_keywords(cls, keywords: Mapping[str, Any]) -> None:
        name = cls.__name__
        if "ReadModel" not in globals():  # the base class itself
            return
        if unknown := [each for each in keywords if each not in cls._allowed]:
            raise DeclarationError(f"{name}: {unknown[0]!r} is no keyword of a read model; there are {cls._allowed}")
        if not keywords.get("key"):
            raise DeclarationError(f'{name}: a read model needs a key; write class {name}(ReadModel, key="..._id")')
        stored = keywords.get("name")
        if stored is not None and (not isinstance(stored, str) or not stored.isidentifier()):
            raise DeclarationError(f"{name}: name={stored!r} can't name a table; use letters, digits and underscores")
        partitions = keywords.get("partitions", 1)
        if type(partitions) is not int or not 1 <= partitions <= _MOST_PARTITIONS:
            raise DeclarationError(f"{name}: partitions={partitions!r} must be a whole number, 1 to {_MOST_PARTITIONS}")
        for each in cls.__struct_fields__[1:]:
            if each.startswith("_") or each in _TAKEN:
                raise DeclarationError(f"{name}: {each!r} can't name a field of a row; give it another name")
        for keyword in ("key", "index", "search"):
            for each in _named(name, keyword, keywords.get(keyword, ())):
                if each not in cls.__struct_fields__:
                    raise DeclarationError(f"{name}: {keyword} names {each!r}, which is no field of it")


_MOST_PARTITIONS = 256
_TAKEN = ("delete", "is_deleted", "declared_keywords", "check_keywords")


def _named(name: str, keyword: str, given: Any) -> list[str]:
    """The fields that a class keyword names."""
    if isinstance(given, str) and keyword != "key":
        raise DeclarationError(f"{name}: {keyword}={given!r} must be a list; write {keyword}=[{given!r}]")
    many = isinstance(given, Iterable) and not isinstance(given, str)
    groups: list[Any] = list(cast("Iterable[Any]", given)) if many else [given]
    names: list[Any] = []
    for group in groups:
        names.extend(cast("tuple[Any, ...]", group) if isinstance(group, tuple) else (group,))
    if wrong := [each for each in names if not isinstance(each, str)]:
        raise DeclarationError(f"{name}: {keyword}={given!r} must name fields, and {wrong[0]!r} is no name")
    return names


class _FoldsEvent(Protocol, Generic[E]):
    """The shapes of a handler that `@on` accepts, so that type checkers compare its event with the declared one."""

    @overload
    def __call__(self, method: Callable[[S, E], None], /) -> Callable[[S, E], None]: ...
    @overload
    def __call__(self, method: Callable[[S, Recorded[E]], None], /) -> Callable[[S, Recorded[E]], None]: ...
    @overload
    def __call__(self, method: Callable[[S, E, K], None], /) -> Callable[[S, E, K], None]: ...
    @overload
    def __call__(self, method: Callable[[S, Recorded[E], K], None], /) -> Callable[[S, Recorded[E], K], None]: ...


@dataclass(frozen=True, slots=True)
class _On:
    event: type[Event]
    key: Keys | None


def on(event: type[E], *, key: str | tuple[str, ...] | Callable[[E], Any] | None = None) -> _FoldsEvent[E]:
    """Mark a method that folds an event into the row of its key: `def placed(self, event: OrderPlaced) -> None`.

    `key` is a field of the event (default: the read model's own key fields), a tuple of fields, or a function of the
    event that returns one key, many keys (a list, set or generator; each key once) or None (no row is touched). The
    method may take `recorded: Recorded[OrderPlaced]` instead of the event, and the key as a second parameter.
    """
    if not is_message(event, Event):
        raise DeclarationError(f"@on({event!r}): give the class of an event, for example @on(OrderPlaced)")

    def declare(method: Any) -> Any:
        return mark(method, _On(event, key))

    return cast("_FoldsEvent[E]", declare)


@dataclass(frozen=True, slots=True)
class FoldHandler:
    """How one event changes rows: which keys it touches, and the method that folds it into each."""

    event: type[Event]
    name: str
    function: Callable[..., None]
    keys: Callable[[Any], Iterable[Key]]
    wants_recorded: bool
    wants_key: bool


@dataclass(frozen=True, slots=True, eq=False)
class ReadModelType:
    """A read model's class as it was read: its table, its handlers, and how rows become plain values and back."""

    cls: type[ReadModel]
    name: str
    key: tuple[str, ...]
    table: Table
    to_row: Callable[[Any], Row]
    from_row: Callable[[Row], Any]
    handlers: dict[type[Event], FoldHandler] = field(default_factory=dict[type[Event], FoldHandler])

    @classmethod
    def of(cls, read_model: type[ReadModel]) -> ReadModelType:
        """Read the class; DeclarationError names class, method and cure."""
        keywords = read_model.declared_keywords
        key = _as_tuple(keywords["key"])
        where = read_model.__name__
        fields = fields_of(read_model, where)[1:]  # the first says whether the row is deleted
        values = [_Value.of(each, f"{where}.{each.name}") for each in fields]
        _check_key_fields(where, key, fields, values)
        handlers = [_handler(read_model, key, each) for each in marked(read_model, _On)]
        made = cls(
            cls=read_model,
            name=keywords.get("name") or where,
            key=key,
            table=_table(read_model, key, fields, values, handlers),
            to_row=_to_row(values),
            from_row=_from_row(read_model, values),
        )
        for handler in handlers:
            if handler.event in made.handlers:
                raise DeclarationError(f"{handler.name}: {handler.event.__name__} has a method already; one for each")
            made.handlers[handler.event] = handler
        made.initial(("check",) * len(key))
        return made

    def initial(self, key: Key) -> ReadModel:
        """The row of a key that no event has touched."""
        try:
            return self.cls(**dict(zip(self.key, key, strict=True)))
        except (TypeError, ValueError) as error:
            raise DeclarationError(
                f"{self.cls.__name__}: {error}; every field of a read model but its key needs a default"
            ) from None

    def key_of(self, row: ReadModel) -> Key:
        """The key that the row's fields make."""
        return tuple([getattr(row, each) for each in self.key])

    def as_key(self, value: Any) -> Key:
        """A key as users write it ("a1", or ("EIRE", "2011-01") where it is composite) as the stores take it."""
        key = cast("Key", value if isinstance(value, tuple) and len(self.key) > 1 else (value,))
        if len(key) != len(self.key):
            raise ValueError(f"{self.name}: the key {value!r} has {len(key)} parts; {', '.join(self.key)} are needed")
        return key


# --- keys ------------------------------------------------------------------------------------------------------------


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_key_fields(
    where: str, key: tuple[str, ...], fields: Sequence[msgspec.structs.FieldInfo], values: Sequence[_Value]
) -> None:
    for info, value in zip(fields, values, strict=True):
        no_key = value.column.kind in (ColumnKind.JSON, ColumnKind.REAL) or value.plain or admits_none(info.type)
        if info.name in key and no_key:
            raise DeclarationError(f"{where}: {info.name!r} can't be a key; use text, whole numbers, ids")


def _handler(read_model: type[ReadModel], key: tuple[str, ...], method: Marked) -> FoldHandler:
    where = f"{read_model.__name__}.{method.name}"
    check_plain_method(method.function, where)
    event = method.mark.event
    parameters = parameters_of(method.function, where)
    if not 1 <= len(parameters) <= 2:
        raise DeclarationError(f"{where}: takes {len(parameters)} parameters beside self; the event, and perhaps a key")
    annotation = parameters[0][1]
    wants_recorded = typing.get_origin(annotation) is Recorded
    folded = typing.get_args(annotation)[0] if wants_recorded else annotation
    if folded is not event:
        raise DeclarationError(
            f"{where}: @on({event.__name__}) but the parameter is annotated {getattr(folded, '__name__', folded)}; "
            f"annotate it with {event.__name__} or Recorded[{event.__name__}]"
        )
    keys = _keys(where, event, key, method.mark.key)
    return FoldHandler(event, where, method.function, keys, wants_recorded, len(parameters) == 2)


def _keys(where: str, event: type[Event], key: tuple[str, ...], given: Keys | None) -> Callable[[Any], Iterable[Key]]:
    if callable(given):
        return _called_keys(given, len(key))
    fields = _as_tuple(given or key)
    hints = hints_of(event, event.__name__)
    for each in fields:
        if each not in event.__struct_fields__:
            raise DeclarationError(
                f"{where}: {event.__name__} has no field {each!r} to find the row by; "
                "say which with @on(..., key=...): a field, a tuple of fields, or a function of the event"
            )
        if admits_none(hints[each]):
            raise DeclarationError(
                f"{where}: {event.__name__}.{each} may be None, which finds no row; say what to do then with "
                "@on(..., key=...): a function of the event that returns the key, or None to touch no row"
            )
    if len(fields) != len(key):
        raise DeclarationError(f"{where}: key={fields} has {len(fields)} parts, the read model's key {len(key)}: {key}")
    if len(fields) == 1:
        only = fields[0]
        return lambda event: ((getattr(event, only),),)
    return lambda event: (tuple(getattr(event, each) for each in fields),)


def _called_keys(function: Callable[[Any], Any], parts: int) -> Callable[[Any], Iterable[Key]]:
    """One key, many or none, as a function of the event returns them; each key once, in order."""

    def keys(event: Any) -> Iterable[Key]:
        found = function(event)
        if found is None:
            return ()
        if isinstance(found, str | bytes) or not isinstance(found, Iterable):
            return ((found,),)
        if parts > 1 and isinstance(found, tuple):
            return (cast("Key", found),)
        many: Iterable[Any] = cast("Iterable[Any]", found)
        return dict.fromkeys(each if parts > 1 else (each,) for each in many)

    return keys


# --- rows ------------------------------------------------------------------------------------------------------------

_KINDS: dict[Any, ColumnKind] = {
    int: ColumnKind.INTEGER,
    float: ColumnKind.REAL,
    bool: ColumnKind.BOOLEAN,
    str: ColumnKind.TEXT,
    bytes: ColumnKind.BYTES,
    Decimal: ColumnKind.DECIMAL,
    datetime: ColumnKind.DATETIME,
    date: ColumnKind.DATE,
    UUID: ColumnKind.UUID,
}


@dataclass(frozen=True, slots=True)
class _Value:
    """One field of a row: its column, and how its value becomes plain and back (None: it is plain already)."""

    column: Column
    plain: Callable[[Any], Any] | None = None
    back: Callable[[Any], Any] | None = None

    @classmethod
    def of(cls, info: msgspec.structs.FieldInfo, where: str) -> _Value:
        kind = _plain_type(info.type)
        if kind in _KINDS:
            return cls(Column(info.name, _KINDS[kind]))
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            for plain in (str, int):
                if all(type(each.value) is plain for each in kind):
                    return cls(Column(info.name, _KINDS[plain]), lambda member: member.value, kind)
        check_json(info.type, where)
        back = msgspec.json.Decoder(info.type).decode
        return cls(Column(info.name, ColumnKind.JSON), lambda value: msgspec.json.encode(value).decode(), back)


def _plain_type(annotation: Any) -> Any:
    """The class behind Annotated, NewType and `| None`, if there is just one."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _plain_type(typing.get_args(annotation)[0])
    if isinstance(annotation, typing.NewType):
        return _plain_type(annotation.__supertype__)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        some = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        return _plain_type(some[0]) if len(some) == 1 else annotation
    return annotation


def _to_row(values: Sequence[_Value]) -> Callable[[Any], Row]:
    special = [(index, each.plain) for index, each in enumerate(values) if each.plain is not None]

    def to_row(instance: Any) -> Row:
        return msgspec.structs.astuple(instance)[1:]  # the first field says whether the row is deleted

    def to_row_specially(instance: Any) -> Row:
        row = list(msgspec.structs.astuple(instance)[1:])
        for index, plain in special:
            if row[index] is not None:
                row[index] = plain(row[index])
        return tuple(row)

    return to_row_specially if special else to_row


def _from_row(read_model: type[ReadModel], values: Sequence[_Value]) -> Callable[[Row], Any]:
    names = [each.column.name for each in values]
    special = [(each.column.name, each.back) for each in values if each.back is not None]

    def from_row(row: Row) -> Any:
        fields = dict(zip(names, row, strict=True))
        for name, back in special:
            if fields[name] is not None:
                fields[name] = back(fields[name])
        return read_model(**fields)

    return from_row


def _table(
    read_model: type[ReadModel],
    key: tuple[str, ...],
    fields: Sequence[msgspec.structs.FieldInfo],
    values: Sequence[_Value],
    handlers: Sequence[FoldHandler],
) -> Table:
    keywords = read_model.declared_keywords
    name = keywords.get("name") or read_model.__name__
    columns = tuple(each.column for each in values)
    indexes = tuple(_as_tuple(each) for each in keywords.get("index", ()))
    search = tuple(keywords.get("search", ()))
    for each in columns:
        if each.name in search and each.kind is not ColumnKind.TEXT:
            raise DeclarationError(f"{read_model.__name__}: search={each.name!r} is no text field")
    defaults = [part for each in fields for part in (each.name, each.type, each.default, each.default_factory)]
    folds = [(each.name, (each.event.stored_name, each.event.schema_version), each.function) for each in handlers]
    callables = [each.mark.key for each in marked(read_model, _On)]
    partitions: int = keywords.get("partitions", 1)
    return Table(
        read_model=name,
        name=_snake(name),
        columns=columns,
        key=key,
        indexes=indexes,
        search=search,
        fingerprint=code_fingerprint([(each.name, each.kind) for each in columns], key, indexes, search),
        fold_fingerprint=code_fingerprint(
            partitions, *defaults, *(part for fold in folds for part in fold), *callables, owner=read_model
        ),
        partitions=partitions,
    )


def _snake(name: str) -> str:
    """`OrderDetails` as a table's name: `order_details`."""
    return "".join(f"_{each.lower()}" if each.isupper() and index else each.lower() for index, each in enumerate(name))
