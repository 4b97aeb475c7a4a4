"""A receiver of traces as small as one can be: OTLP over HTTP, with the protocol's own messages decoded."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

__all__ = ["ReceivedSpan", "Receiver", "receiving"]


@dataclass(frozen=True)
class ReceivedSpan:
    """What a service has sent of one span; ids in hexadecimal, "" for no parent."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    linked: tuple[str, ...]


class Receiver:
    """Keeps what it gets. `url` is what services are told."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.path, ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._spans: list[ReceivedSpan] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, path: str, request: ExportTraceServiceRequest) -> None:
        assert path == "/v1/traces"
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    linked = tuple(link.span_id.hex() for link in span.links)
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    self._spans.append(ReceivedSpan(names["service.name"], span.name, span.kind, *ids, linked))

    def of(self, trace_id: str) -> list[ReceivedSpan]:
        return [span for span in list(self._spans) if span.trace_id == trace_id]


@contextmanager
def receiving() -> Generator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
