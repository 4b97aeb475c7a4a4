"""Traces by OpenTelemetry: the only module that knows it, imported only where traces are wanted.

Spans of batches are made when the batch is done, with the time when it began: nothing runs beside the work. They are
joined to what caused them by what events carry in their metadata, so a fold in another process finds its trace.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from time import time_ns
from typing import Any, Self

import msgspec
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from twofold.errors import InvalidInputError, RefusedError, TwofoldError
from twofold.messages import Metadata, RawEvent
from twofold.ports import Commit, Fact, Outcome, Share
from twofold.trace_context import TraceContext

__all__ = ["Traces", "exported"]

MOST_LINKS = 128
"""Of one batch, as OpenTelemetry's own limit is: a page of thousands of events may be of as many traces."""

_LAST_SPANS_S = 2.0
_TRACES_PATH = "/v1/traces"


class Traces:
    """Shows the runtime's work to OpenTelemetry: `connect(app, tracer=Traces(provider))`.

    Without a provider it is the one that the program has set for all.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("twofold", version("twofold"), provider)

    def begin(
        self, name: str, *, parent: TraceContext | None = None, facts: Mapping[str, Fact] = {}, server: bool = False
    ) -> OpenSpan:
        context = None if parent is None else _below(_span_context(parent))
        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        return OpenSpan(self._tracer.start_span(name, context, kind, facts))

    def decided(self, metadata: Metadata, code: str, seconds: float) -> None:
        parent = TraceContext.parse(metadata.traceparent, metadata.tracestate)
        if parent is not None and parent.is_sampled:
            context = _below(_span_context(parent))
            self._add(f"decide {metadata.command}", seconds, context, facts={"twofold.code": code})

    def append_done(
        self, commits: Sequence[Commit], outcomes: Sequence[Outcome] | TwofoldError, seconds: float
    ) -> None:
        error = outcomes.code if isinstance(outcomes, TwofoldError) else ""
        events = sum([len(each.events) for each in commits])
        facts: dict[str, Fact] = {"twofold.commands": len(commits), "twofold.events": events}
        self._add_batch("append", [each.metadata for each in commits], seconds, facts, error)

    def fold_done(self, read_model: str, page: Sequence[RawEvent], shares: Sequence[Share], seconds: float) -> None:
        facts: dict[str, Fact] = {
            "twofold.read_model": read_model,
            "twofold.partitions": len(shares),
            "twofold.events": len(page),
            "twofold.first_position": page[0].position,
            "twofold.last_position": page[-1].position,
        }
        self._add_batch(f"fold {read_model}", [each.metadata for each in page], seconds, facts)

    def _add_batch(
        self, name: str, metadata: Iterable[bytes], seconds: float, facts: Mapping[str, Fact], error: str = ""
    ) -> None:
        """A child of what is in it when that is of one trace, else of a trace of its own, with links."""
        causes = _causes(metadata)
        if not causes:
            return
        if len({each.trace_id for each in causes}) == 1:
            context, linked = _below(causes[0]), causes[1:]
        else:
            context, linked = Context(), causes
        self._add(name, seconds, context, [Link(each) for each in linked], facts=facts, error=error)

    def _add(
        self,
        name: str,
        seconds: float,
        context: Context,
        links: Sequence[Link] = (),
        *,
        facts: Mapping[str, Fact],
        error: str = "",
    ) -> None:
        """A span that ends now and began so many seconds ago."""
        now = time_ns()
        begun = now - int(seconds * 1e9)
        span = self._tracer.start_span(name, context, attributes=facts, links=links, start_time=begun)
        if error:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
        span.end(now)


class OpenSpan:
    """A span that has begun, and is the current one inside of its `with` block."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def trace(self) -> TraceContext:
        found = self._span.get_span_context()
        parent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
        return TraceContext(parent, found.trace_state.to_header())

    def note(self, facts: Mapping[str, Fact]) -> None:
        self._span.set_attributes(facts)

    def fail(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(StatusCode.ERROR)

    def __enter__(self) -> Self:
        self._token = contexts.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: Any) -> None:
        contexts.detach(self._token)
        if error is not None:
            code = error.code if isinstance(error, TwofoldError) else type(error).__name__
            self._span.set_attribute("twofold.code", code)
            if not isinstance(error, RefusedError | InvalidInputError):  # those are the caller's, and answers
                self.fail(code)
        self._span.end()


# --- places in traces ------------------------------------------------------------------------------------------------


class _Placed(msgspec.Struct, gc=False):
    """Of an event's metadata, what says where in a trace it is."""

    traceparent: str = ""
    tracestate: str = ""


_decode = msgspec.json.Decoder(_Placed).decode


def _causes(metadata: Iterable[bytes]) -> list[SpanContext]:
    """Each sampled span that is named there, once, at most MOST_LINKS."""
    found: dict[str, TraceContext] = {}
    for text in dict.fromkeys(metadata):
        placed = _decode(text) if b'"traceparent"' in text else _Placed()
        place = TraceContext.parse(placed.traceparent, placed.tracestate)
        if place is not None and place.is_sampled:
            found.setdefault(place.traceparent, place)
            if len(found) == MOST_LINKS:
                break
    return [_span_context(place) for place in found.values()]


def _span_context(place: TraceContext) -> SpanContext:
    return SpanContext(
        int(place.trace_id, 16),
        int(place.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(place.flags),
        trace_state=TraceState.from_header([place.tracestate]),
    )


def _below(parent: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


# --- sending them ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def exported(endpoint: str, service: str) -> AsyncGenerator[Traces]:
    """A tracer whose spans are sent to the endpoint, in the background and in batches, the last ones at the end.

    What the endpoint does not say comes from the standard variables: OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS,
    OTEL_SERVICE_NAME (else `service`), OTEL_TRACES_SAMPLER, OTEL_BSP_*. A program that has set a provider of its own
    for all keeps it: then spans go wherever it says.
    """
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        yield Traces()
        return
    provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
    provider.sampler = _BatchSampler(provider.sampler)
    url = endpoint.rstrip("/") + _TRACES_PATH if endpoint else None
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))
    try:
        yield Traces(provider)
    finally:
        await _shut_down(provider)


async def _shut_down(provider: TracerProvider) -> None:
    """Send the last spans, if that is soon done. Not in the loop's pool of threads, whose end waits for all of them."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def shut_down() -> None:
        provider.shutdown()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="last spans", daemon=True).start()
    try:
        async with asyncio.timeout(_LAST_SPANS_S):
            await done.wait()
    except TimeoutError:
        pass


def _resource(service: str) -> Resource:
    found = Resource.create({SERVICE_INSTANCE_ID: f"{socket.gethostname()}:{os.getpid()}"})
    named = not str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found if named else found.merge(Resource({SERVICE_NAME: service}))


class _BatchSampler(Sampler):
    """As the standard variables say; but a batch that has sampled work in it is sampled, or such traces had holes."""

    def __init__(self, standard: Sampler) -> None:
        self._standard = standard

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if links and any(link.context.trace_flags.sampled for link in links):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)
        return self._standard.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"Twofold({self._standard.get_description()})"
