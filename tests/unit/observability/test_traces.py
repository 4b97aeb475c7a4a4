"""Spans of commands, appends, folds and queries, seen by an exporter in memory: how they hang together."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from tests.unit.runtime.parts import Break, Buy, Look, SalesOf, Stock, app, until
from twofold.errors import HandlerFailedError, NotFoundError
from twofold.messages import Metadata, RawEvent
from twofold.observability.traces import MOST_LINKS, Traces
from twofold.runtime.lifecycle import System
from twofold.settings import Settings
from twofold.streams import Position
from twofold.trace_context import TraceContext
from twofold.wiring import connect

MEMORY = Settings(event_log="memory:")


class Spans:
    """A provider and what was exported."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self.provider, self._exporter = provider or TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Traces(self.provider)

    @property
    def all(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [each for each in self.all if each.name == name]

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    found = Spans()
    yield found
    found.provider.shutdown()


@pytest.fixture
async def system(spans: Spans) -> AsyncGenerator[System]:
    async with connect(app, MEMORY, tracer=spans.tracer) as system:
        yield system


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


async def test_a_command_its_append_its_fold_and_a_query_are_one_trace(spans: Spans, system: System) -> None:
    with spans.provider.get_tracer("the user's own").start_as_current_span("page of a shop"):
        await system.send(Stock(sku="mug", units=3))
        done = await system.send(Buy(sku="mug", buyer="ann"))
        await system.ask(SalesOf(sku="mug"), after=done.position)
    await system.settle()
    root, command = spans.one("page of a shop"), spans.one("command Buy")
    assert {trace_of(each) for each in spans.all} == {trace_of(root)}
    assert parent_of(command) == parent_of(spans.one("query SalesOf")) == id_of(root)
    assert parent_of(spans.one("decide Buy")) == id_of(command)
    assert id_of(command) in {parent_of(each) for each in spans.named("append")}
    folds = spans.named("fold Sales")
    assert id_of(command) in {parent_of(each) for each in folds} | {
        link.context.span_id for each in folds for link in each.links
    }


async def test_spans_tell_which_stream_which_positions_and_how_long(spans: Spans, system: System) -> None:
    await system.send(Stock(sku="mug", units=3))
    await system.settle()
    await until(lambda: spans.named("fold Sales"))
    command, append, fold = spans.one("command Stock"), spans.one("append"), spans.one("fold Sales")
    assert command.attributes == {"twofold.stream": "product-mug", "twofold.position": 1}
    assert append.attributes == {"twofold.commands": 1, "twofold.events": 1}
    assert fold.attributes == {
        "twofold.read_model": "Sales",
        "twofold.partitions": 1,
        "twofold.events": 1,
        "twofold.first_position": 1,
        "twofold.last_position": 1,
    }
    assert (command.start_time or 0) <= (append.start_time or 0) <= (append.end_time or 0) <= (command.end_time or 0)


async def test_commands_of_several_traces_share_an_append_that_is_linked_to_each(spans: Spans, system: System) -> None:
    await asyncio.gather(*(system.send(Stock(sku=str(number))) for number in range(5)))
    await system.settle()
    commands = spans.named("command Stock")
    assert len({trace_of(each) for each in commands}) == 5
    shared = [each for each in spans.named("append") if each.links]
    alone = [each for each in spans.named("append") if not each.links]
    joined = {link.context.span_id for each in shared for link in each.links} | {parent_of(each) for each in alone}
    assert joined == {id_of(each) for each in commands}
    assert shared
    assert all(each.parent is None for each in shared)


async def test_events_carry_the_place_where_their_command_is(spans: Spans, system: System) -> None:
    done = await system.send(Stock(sku="mug"), metadata=Metadata(actor="ann"))
    (stored,) = await system.log.read(Position(done.position - 1), 1)
    metadata = app.codec.recorded(stored).metadata
    place = TraceContext.parse(metadata.traceparent)
    assert place is not None
    assert int(place.span_id, 16) == id_of(spans.one("command Stock"))
    assert metadata.actor == "ann"


async def test_a_command_joins_the_trace_that_its_sender_names(spans: Spans, system: System) -> None:
    given = Metadata(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate="vendor=1")
    await system.send(Stock(sku="mug"), metadata=given)
    command = spans.one("command Stock")
    assert (f"{trace_of(command):032x}", parent_of(command)) == (given.traceparent[3:35], 0xB7AD6B7169203331)
    assert command.context is not None
    assert command.context.trace_state.to_header() == "vendor=1"


async def test_a_refusal_is_an_answer_and_a_bug_an_error(spans: Spans, system: System) -> None:
    with pytest.raises(NotFoundError):
        await system.send(Look(sku="mug"))
    await system.send(Stock(sku="mug"))
    with pytest.raises(HandlerFailedError):
        await system.send(Break(sku="mug", how="handler"))
    refused, broken = spans.one("command Look"), spans.one("command Break")
    assert (refused.attributes or {})["twofold.code"] == "not-found"
    assert refused.status.status_code is StatusCode.UNSET
    assert (broken.attributes or {})["error.type"] == "internal-error"
    assert broken.status.status_code is StatusCode.ERROR
    assert (spans.one("decide Look").attributes or {})["twofold.code"] == "not-found"


async def test_a_trace_that_is_not_kept_costs_no_spans_and_is_handed_on() -> None:
    spans = Spans(TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False))
    async with connect(app, MEMORY, tracer=spans.tracer) as system:
        done = await system.send(Stock(sku="mug"))
        await system.settle()
        (stored,) = await system.log.read(Position(done.position - 1), 1)
    assert not spans.all
    place = TraceContext.parse(app.codec.recorded(stored).metadata.traceparent)
    assert place is not None
    assert not place.is_sampled
    spans.provider.shutdown()


async def test_what_is_done_in_an_answer_belongs_to_its_query(spans: Spans, system: System) -> None:
    """The user's own instruments, of a client of HTTP say, find the span where they look for it."""
    with spans.tracer.begin("query Anything") as span:
        inside = trace.get_current_span().get_span_context()
    assert f"{inside.span_id:016x}" == span.trace.span_id
    assert not trace.get_current_span().get_span_context().is_valid


def event(position: int, traceparent: str) -> RawEvent:
    metadata = b'{"traceparent":"%s"}' % traceparent.encode() if traceparent else b'{"command":"Stock"}'
    return RawEvent(Position(position), "product-mug", position, "Stocked", 1, b"{}", metadata, 0)


def test_a_page_has_links_to_its_traces_as_many_as_a_span_may_have(spans: Spans) -> None:
    page = [event(each, f"00-{each:032x}-{each:016x}-01") for each in range(1, 2_001)]
    spans.tracer.fold_done("Sales", page, [], 0.5)
    fold = spans.one("fold Sales")
    assert len(fold.links) == MOST_LINKS
    assert fold.parent is None
    assert round(((fold.end_time or 0) - (fold.start_time or 0)) / 1e9, 3) == 0.5


@pytest.mark.parametrize("traceparent", ["", "garbage", f"00-{7:032x}-{7:016x}-00"])
def test_a_page_without_traces_that_are_kept_is_none(spans: Spans, traceparent: str) -> None:
    spans.tracer.fold_done("Sales", [event(1, traceparent)], [], 0.5)
    assert not spans.all


def test_a_request_is_what_servers_do(spans: Spans) -> None:
    with spans.tracer.begin("POST /commands/Stock", facts={"http.route": "/commands/Stock"}, server=True) as span:
        span.fail("store-unavailable")
    served = spans.one("POST /commands/Stock")
    assert served.kind is SpanKind.SERVER
    assert served.status.status_code is StatusCode.ERROR
