"""Counters: a small application with everything that HTTP must answer, bugs among them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import httpx

from twofold import (
    Aggregate,
    Application,
    Command,
    Context,
    Event,
    Meta,
    Query,
    ReadModel,
    Rejected,
    Settings,
    View,
    answer,
    apply,
    handle,
    on,
)
from twofold.http.app import HttpDoor, asgi

MEMORY = Settings(event_log="memory:", consistency_wait_s=0.05)


class OpenCounter(Command):
    counter_id: str


class Count(Command):
    counter_id: str
    by: Annotated[int, Meta(ge=1, le=100)] = 1
    marks: list[dict[str, float]] = []


class Break(Command):
    counter_id: str


class CounterOpened(Event):
    counter_id: str
    correlation_id: str


class Counted(Event):
    counter_id: str
    by: int


class Broken(Event):
    counter_id: str


class Counter(Aggregate, key="counter_id"):
    total: int = 0

    @handle(creates=True)
    def open(self, command: OpenCounter, context: Context) -> CounterOpened:
        return CounterOpened(counter_id=command.counter_id, correlation_id=context.metadata.correlation_id)

    @handle
    def count(self, command: Count) -> Counted:
        if self.total + command.by > 100:
            raise Rejected("the counter is full", code="full")
        return Counted(counter_id=command.counter_id, by=command.by)

    @handle
    def break_it(self, command: Break) -> Broken:
        raise RuntimeError("the password is 1234")

    @apply
    def counted(self, event: Counted) -> None:
        self.total += event.by


class Total(ReadModel, key="counter_id"):
    counter_id: str
    total: int = 0
    correlation_id: str = ""

    @on(CounterOpened)
    def opened(self, event: CounterOpened) -> None:
        self.correlation_id = event.correlation_id

    @on(Counted)
    def counted(self, event: Counted) -> None:
        if event.by == 13:
            raise ValueError("thirteen")
        self.total += event.by


@dataclass(frozen=True)
class Span:
    low: int
    high: int


class TotalOf(Query[Total | None]):
    counter_id: str


@answer
async def total_of(query: TotalOf, totals: View[Total]) -> Total | None:
    return await totals.get(query.counter_id)


class Totals(Query[list[Total]]):
    counter_id: list[str] = []
    within: Span | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


@answer
async def totals(query: Totals, totals: View[Total]) -> list[Total]:
    span = query.within or Span(0, 1_000)
    found = await totals.find(order_by="counter_id", limit=query.limit)
    wanted = [each for each in found if not query.counter_id or each.counter_id in query.counter_id]
    return [each for each in wanted if span.low <= each.total <= span.high]


class Crash(Query[int]):
    pass


@answer
async def crash(query: Crash, totals: View[Total]) -> int:
    raise RuntimeError("the password is 1234")


app = Application("counters", [Counter, Total, total_of, totals, crash])


@asynccontextmanager
async def serving(settings: Settings = MEMORY) -> AsyncGenerator[tuple[HttpDoor, httpx.AsyncClient]]:
    """The counters behind their door, in memory, and a client that calls it without a socket."""
    door = asgi(app, settings)
    async with door.lifespan(), client_of(door) as client:
        yield door, client


def client_of(door: HttpDoor) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(door, raise_app_exceptions=True), base_url="http://counters")
