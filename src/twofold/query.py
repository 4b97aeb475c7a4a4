"""Queries are answered by functions that read through views, and read nothing else."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from twofold.declarations import hints_of, mark, mark_of, parameters_of
from twofold.errors import DeclarationError
from twofold.messages import Query
from twofold.read_model import ReadModel

__all__ = ["AnswerType", "View", "answer", "answer_of"]

R = TypeVar("R", bound=ReadModel)
AnswerFunction = TypeVar("AnswerFunction", bound=Callable[..., Awaitable[Any]])


class View(Protocol[R]):
    """What an answer may read of one read model. Rows are copies: changing one changes nothing stored."""

    async def get(self, key: Any, /) -> R | None:
        """The row of the key (a tuple where the key is composite), or None."""
        ...

    async def find(
        self,
        *,
        order_by: str | Sequence[str] = (),
        limit: int | None = None,
        start_after: Any = None,
        **equals: Any,
    ) -> list[R]:
        """Rows whose fields equal the values, in order: "-revenue" descends, the key breaks ties.

        A page starts behind the row whose key is `start_after`. ValueError names a field that is none.
        """
        ...

    async def count(self, **equals: Any) -> int: ...

    async def search(self, text: str, *, limit: int = 20) -> list[R]:
        """Rows whose `search=[...]` fields hold words starting with every word of the text, best first."""
        ...

    async def sql(self, text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of one SELECT with bound `:name` parameters, on SQL stores; values as the database has them.

        A read model's table has its name in snake case: OrderDetails is `order_details`.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    pass


def answer(function: AnswerFunction, /) -> AnswerFunction:
    """Mark the function that answers a query: `async def f(query: OrdersOf, orders: View[Order]) -> list[Order]`."""
    return mark(function, _Answer())


@dataclass(frozen=True, slots=True, eq=False)
class AnswerType:
    """An answer as it was read: its query, the type it returns, and the read models it views, by parameter."""

    query: type[Query[Any]]
    name: str
    function: Callable[..., Awaitable[Any]]
    returns: Any
    views: tuple[tuple[str, type[ReadModel]], ...]


def is_answer(value: object) -> bool:
    return mark_of(value, _Answer) is not None


def query_result(query: type[Query[Any]]) -> Any:
    """The type that a query class states: `Query[list[Order]]` gives `list[Order]`."""
    for each in inspect.getmro(query):
        for base in vars(each).get("__orig_bases__", ()):
            if typing.get_origin(base) is Query:
                return typing.get_args(base)[0]
    raise DeclarationError(f"{query.__name__}: say what it is answered with, as in class {query.__name__}(Query[int])")


def answer_of(function: Callable[..., Awaitable[Any]]) -> AnswerType:
    """Read the function; DeclarationError names function and cure."""
    where = getattr(function, "__name__", repr(function))
    if not inspect.iscoroutinefunction(function):
        raise DeclarationError(f"{where}: an answer reads, so it must be a coroutine: write async def {where}")
    parameters = parameters_of(function, where)
    query = parameters[0][1] if parameters else None
    if not (isinstance(query, type) and issubclass(query, Query)):
        raise DeclarationError(f"{where}: the first parameter must be annotated with a query")
    views = tuple((name, _viewed(where, name, annotation)) for name, annotation in parameters[1:])
    returns, stated = hints_of(function, where).get("return"), query_result(query)  # pyright: ignore[reportUnknownArgumentType]
    if returns != stated:
        raise DeclarationError(f"{where}: returns {returns}, but {query.__name__} states {stated}; make them the same")
    return AnswerType(query, where, function, returns, views)  # pyright: ignore[reportUnknownArgumentType]


def _viewed(where: str, name: str, annotation: Any) -> type[ReadModel]:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is not View or not issubclass(arguments[0], ReadModel):
        raise DeclarationError(f"{where}: the parameter {name!r} must be annotated View[...] of a read model")
    return arguments[0]
