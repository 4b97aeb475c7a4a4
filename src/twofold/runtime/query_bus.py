"""Queries in, typed answers out, from the read store only; with a wanted position, never older than asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar, cast

import structlog

from twofold.application import Application, QueryType
from twofold.codec import check_storable, encode_json
from twofold.errors import (
    HandlerFailedError,
    InvalidInputError,
    NotYetConsistentError,
    QueryTimeoutError,
    ReadModelNotReadyError,
    TwofoldError,
)
from twofold.messages import Query
from twofold.ports import Find, Probe, RowReader
from twofold.query import View
from twofold.read_model import ReadModel, ReadModelType
from twofold.runtime.coalescing import Coalescer
from twofold.runtime.command_bus import new_id
from twofold.runtime.concurrency import ConcurrencyLimit, Load
from twofold.runtime.deadlines import Deadlines
from twofold.runtime.gate import Gate
from twofold.runtime.progress import Progress
from twofold.settings import Settings
from twofold.streams import Position
from twofold.tables import Key, Row

__all__ = ["Answered", "QueryBus", "RowsView"]

A = TypeVar("A")
R = TypeVar("R", bound=ReadModel)

_LEAST_AT_WORK = 8
"""Fewer queries than a store can read for at a time would leave it idle."""
_AT_WORK_AT_FIRST = 32

logger = structlog.get_logger("twofold.queries")


class Answered(NamedTuple, Generic[A]):
    """An answer and the position that it reflects: everything up to there, and perhaps more."""

    value: A
    position: Position


class RowsView(Generic[R]):
    """A view on one read model's rows in a row reader. `get` calls that arrive together become one statement."""

    def __init__(self, model: ReadModelType, reader: RowReader) -> None:
        self._model, self._reader = model, reader

        async def fetch(keys: Sequence[Key]) -> Mapping[Key, Row]:
            return await reader.get(model.table, keys)

        self._gets: Coalescer[Key, Row] = Coalescer(fetch)

    async def get(self, key: Any, /) -> R | None:
        row = await self._gets.get(self._model.as_key(key))
        return None if row is None else self._model.from_row(row)

    async def find(
        self,
        *,
        order_by: str | Sequence[str] = (),
        limit: int | None = None,
        start_after: Any = None,
        **equals: Any,
    ) -> list[R]:
        order = (order_by,) if isinstance(order_by, str) else tuple(order_by)
        after = None if start_after is None else self._model.as_key(start_after)
        rows = await self._reader.find(self._model.table, Find(equals, order, limit, after))
        return [self._model.from_row(row) for row in rows]

    async def count(self, **equals: Any) -> int:
        return await self._reader.count(self._model.table, equals)

    async def search(self, text: str, *, limit: int = 20) -> list[R]:
        return [self._model.from_row(row) for row in await self._reader.search(self._model.table, text, limit)]

    async def sql(self, text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._reader.sql(text, params or {})]


class QueryBus:
    """Takes queries, and answers each when its read models have come far enough."""

    def __init__(
        self,
        app: Application,
        reader: RowReader,
        progress: Mapping[str, Progress],
        probe: Probe,
        settings: Settings,
    ) -> None:
        self._app, self._progress, self._probe, self._settings = app, progress, probe, settings
        self._views: dict[type[ReadModel], View[Any]] = {
            model.cls: cast("View[Any]", RowsView(model, reader)) for model in app.read_models.values()
        }
        self._names = {model.cls: name for name, model in app.read_models.items()}
        self.gate = Gate("queries", settings.max_waiting_queries)
        self.limit = ConcurrencyLimit(
            "queries",
            least=_LEAST_AT_WORK,
            start=_AT_WORK_AT_FIRST,
            most=settings.max_waiting_queries,
            delay_s=settings.overload_delay_s,
            wait_s=settings.query_wait_s,
            newest_first=True,
            adaptive=settings.adaptive_limits,
        )
        self._deadlines = Deadlines(settings.query_timeout_s)

    async def ask(
        self,
        query: Query[A],
        *,
        after: int | None = None,
        wait_s: float | None = None,
        timeout_s: float | None = None,
        correlation_id: str = "",
    ) -> Answered[A]:
        """The answer, and the position that it reflects; at least `after`, waited for at most `wait_s` seconds.

        NotYetConsistentError when the read models don't come to `after` in time. What can't be begun within
        `timeout_s` is not begun.
        """
        kind = self._app.query_type(cast("type[Query[Any]]", type(query)))
        check_storable(kind.name, query, encode_json(query))
        started, code = perf_counter(), "cancelled"
        until = None if timeout_s is None else started + timeout_s
        try:
            with self.gate:
                viewed = [self._usable(self._names[cls]) for _, cls in kind.answer.views]
                if after is not None:
                    wait_s = self._settings.consistency_wait_s if wait_s is None else wait_s
                    await self._reach(viewed, after, wait_s if timeout_s is None else min(wait_s, timeout_s))
                fits = until is None and self.limit.take()
                began = perf_counter() if fits else await self._let_in(kind, until, timeout_s)
                try:
                    answered = await self._answered(kind, query, viewed, after, correlation_id)
                finally:
                    self.limit.leave(kind.name, began, perf_counter())
        except TwofoldError as error:
            code = error.code
            raise
        else:
            code = "ok"
            return answered
        finally:
            self._probe.query_done(kind.name, code, perf_counter() - started)

    @property
    def load(self) -> Load:
        """How much is at work, and what was not let in."""
        return Load.of(self.gate, self.limit)

    async def drain(self) -> None:
        """Take nothing new, and finish what was accepted."""
        await self.gate.drain()

    async def _let_in(self, kind: QueryType, until: float | None, timeout_s: float | None) -> float:
        """Wait for a place; returns when it was there. A query whose asker's time is over is not begun."""
        left_s = None if until is None else until - perf_counter()
        try:
            if left_s is not None and left_s <= 0:
                raise TimeoutError
            if left_s is None or not self.limit.take():
                await self.limit.turn(left_s)
        except TimeoutError:
            raise QueryTimeoutError(kind.name, timeout_s or 0.0) from None
        return perf_counter()

    async def _answered(
        self, kind: QueryType, query: Query[A], viewed: Sequence[Progress], after: int | None, correlation_id: str
    ) -> Answered[A]:
        position = Position(min([each.position for each in viewed], default=after or 0))
        try:
            with self._deadlines:
                return Answered(await self._answer(kind, query, correlation_id), position)
        except TimeoutError:
            raise QueryTimeoutError(kind.name, self._settings.query_timeout_s) from None

    async def _answer(self, kind: QueryType, query: Query[A], correlation_id: str) -> A:
        views = {name: self._views[cls] for name, cls in kind.answer.views}
        try:
            return await kind.answer.function(query, **views)
        except TwofoldError:
            raise
        except Exception as error:
            correlation_id = correlation_id or new_id()
            logger.exception("answer-failed", query=kind.name, correlation_id=correlation_id)
            raise HandlerFailedError(kind.answer.name, correlation_id) from error

    def _usable(self, name: str) -> Progress:
        progress = self._progress[name]
        if progress.hindrance:
            raise ReadModelNotReadyError(name, progress.hindrance)
        return progress

    async def _reach(self, viewed: Sequence[Progress], after: int, wait_s: float) -> None:
        if after < 0:
            raise InvalidInputError(f"the wanted position {after} is none; positions count from 1")
        reached = await asyncio.gather(*(each.reached(after, wait_s) for each in viewed))
        if not all(reached):
            behind = [each for each, done in zip(viewed, reached, strict=True) if not done]
            names = ", ".join(each.read_model for each in behind)
            raise NotYetConsistentError(after, min(each.position for each in behind), names)
