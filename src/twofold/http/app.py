"""The ASGI application: finds what a path means, and turns whatever happens into one answer.

The hot paths read the scope as it comes; no request object is made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import perf_counter

import msgspec

from twofold.application import Application
from twofold.errors import StoppingError, TwofoldError, UnavailableError, UnknownOutcomeError, WrongRoleError
from twofold.http.answers import Answer, Receive, Scope, Send
from twofold.http.commands import COMMAND_METHODS, Commands
from twofold.http.docs_page import docs_pages
from twofold.http.headers import Conversation, Headers, by_name, conversation
from twofold.http.health import alive, readiness, ready_answer
from twofold.http.limits import Bodies, ClientGoneError
from twofold.http.openapi import OpenApi
from twofold.http.operations import OPERATIONS, OperatorDoor
from twofold.http.problems import (
    InvalidHeaderError,
    MethodNotAllowedError,
    NotStartedError,
    UnknownPathError,
    problem_answer,
)
from twofold.http.queries import QUERY_METHODS, Queries
from twofold.observability.lines import BatchLines, Lines, RequestLine, milliseconds
from twofold.observability.metrics import Metrics
from twofold.observability.probes import Probes
from twofold.ports import Tracer
from twofold.runtime.lifecycle import System
from twofold.settings import Role, Settings
from twofold.wiring import connect, included_part

__all__ = ["HttpDoor", "asgi"]

COMMANDS = "/commands/"
QUERIES = "/queries/"
PAGE_METHODS = "GET, HEAD, OPTIONS"
CLIENT_GONE = 499
"""In logs and traces, as nginx has it: the client went away before its request was whole, and gets no answer."""
_MOST_PATH = 200

Page = Callable[[Scope], Awaitable[Answer]]


def asgi(app: Application, settings: Settings | None = None, *, role: Role = Role.ALL) -> HttpDoor:
    """The application over HTTP, to be served on its own or mounted in Starlette, FastAPI or Litestar.

    A host framework runs the system: `FastAPI(lifespan=shop.lifespan)`. On its own, the ASGI lifespan does. What the
    role does not do is answered 404 `wrong-role`.
    """
    return HttpDoor(app, settings.checked() if settings else Settings.from_environment(os.environ), role)


class HttpDoor:
    """One application over HTTP. `lifespan` starts and stops the system behind it; `strict` is as `connect` has it.

    `lines` is where requests and batches are logged; without it they are not: a host program has a log of its own.
    """

    def __init__(
        self,
        app: Application,
        settings: Settings,
        role: Role = Role.ALL,
        *,
        strict: bool = False,
        lines: Lines | None = None,
    ) -> None:
        self.app = app = included_part(app, settings, role)
        self.settings, self.role, self._strict, self._lines = settings, role, strict, lines
        self.metrics = Metrics(role=role, application=app.name)
        self._system: System | None = None
        self._operator: OperatorDoor | None = None
        self._starting = self._leaving = self._stopping = False
        self._bodies = Bodies(max_bytes=settings.http_max_body_bytes, timeout_s=settings.http_body_timeout_s)
        self._commands = Commands(app, self._bodies, settings.position_cookie)
        self._queries = Queries(app, self._bodies, settings, self.metrics.stale_answer)
        self._openapi = OpenApi(app, role)
        self._pages: dict[str, Page] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi_json,
            **docs_pages(),
        }

    # --- the system behind the door ---

    @property
    def system(self) -> System:
        """The running system; NotStartedError outside of the lifespan."""
        if self._system is None:
            raise NotStartedError
        return self._system

    @asynccontextmanager
    async def lifespan(self, host: object = None) -> AsyncGenerator[None]:
        """The system runs while this is entered. Host frameworks pass themselves, and are not looked at."""
        self._starting = True
        try:
            probe = Probes(self.metrics, BatchLines(self._lines)) if self._lines is not None else self.metrics
            async with connect(self.app, self.settings, role=self.role, strict=self._strict, probe=probe) as system:
                operator = OperatorDoor(system)
                self._operator = operator if self.role is Role.ALL else None
                self._system, self._starting = system, False
                try:
                    yield
                finally:
                    await operator.close()
        finally:
            self._system, self._operator, self._starting = None, None, False

    def publish(self, url: str) -> None:
        """Tell this user's other processes where this one listens, and the token of its operator's door."""
        if self._operator is not None:
            self.system.publish({"url": url, "token": self._operator.token})

    def begin_leave(self) -> None:
        """No longer ready, and at work all the same: who sends requests here may go elsewhere before the door closes.

        Each answer ends its connection, so that no request is on its way to a connection that is closed.
        """
        self._leaving = True

    def begin_stop(self) -> None:
        """No longer ready: requests that are not whole are given up, the others are finished."""
        self._leaving = self._stopping = True
        self._bodies.stop()

    # --- ASGI ---

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._not_http(scope, receive, send)
            return
        answer = await self.respond(scope, receive)
        if answer is not None:
            headers = [*answer.headers, (b"connection", b"close")] if answer.closes else answer.headers
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})

    async def respond(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer to a request, whatever happens; None when there is nobody to answer."""
        started, headers = perf_counter(), by_name(scope["headers"])
        talk, answer = await self._talk(scope, headers, receive)
        if self._lines is not None and self._lines.requests:
            self._log(self._lines, scope, talk, answer, perf_counter() - started)
        if answer is None:
            return None
        if self._leaving:
            answer = answer._replace(closes=True)
        if answer.code:
            self.metrics.http_error(answer.code)
            if b"expect" in headers:  # the client may now send its body or not: what follows can't be told apart
                answer = answer._replace(closes=True)
        return answer._replace(body=b"") if scope["method"] == "HEAD" else answer

    async def _not_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        phase = "startup"
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
                self.begin_stop()
        except TwofoldError as error:
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    def _log(self, lines: Lines, scope: Scope, talk: Conversation, answer: Answer | None, seconds: float) -> None:
        path = path_of(scope)
        status, code, position = (
            (answer.status, answer.code, answer.position) if answer else (CLIENT_GONE, "client-gone", 0)
        )
        level = "warning" if status >= 500 else "debug" if path in self._pages else "info"
        if lines.wants(level):
            lines.add(
                RequestLine(
                    level=level,
                    logger="twofold.http",
                    timestamp=datetime.now(UTC),
                    method=scope["method"],
                    path=path[:_MOST_PATH],
                    status=status,
                    code=code or "ok",
                    duration_ms=milliseconds(seconds),
                    correlation_id=talk.correlation_id,
                    causation_id=talk.causation_id,
                    trace_id=talk.trace.trace_id if talk.trace is not None else "",
                    position=position,
                )
            )

    async def _talk(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[Conversation, Answer | None]:
        """The answer, which names its conversation."""
        try:
            talk = conversation(headers)
        except InvalidHeaderError as error:
            talk = Conversation.new(headers)
            answer = problem_answer(error)
        else:
            tracer = self._system.tracer if self._system is not None else None
            if tracer is None or path_of(scope) in self._pages:
                answer = await self._answer(scope, headers, talk, receive)
            else:
                talk, answer = await self._traced(tracer, scope, headers, talk, receive)
        if answer is not None:
            answer.headers.insert(0, talk.echo)
        return talk, answer

    async def _traced(
        self, tracer: Tracer, scope: Scope, headers: Headers, talk: Conversation, receive: Receive
    ) -> tuple[Conversation, Answer | None]:
        """The answer, made inside of a span that the request's events and queries belong to."""
        route, method = self._route(path_of(scope)), scope["method"]
        facts = {"http.request.method": method, "http.route": route, "twofold.correlation_id": talk.correlation_id}
        with tracer.begin(f"{method} {route}", parent=talk.trace, facts=facts, server=True) as span:
            talk = talk._replace(trace=span.trace)
            answer = await self._answer(scope, headers, talk, receive)
            status, code = (answer.status, answer.code) if answer else (CLIENT_GONE, "client-gone")
            span.note({"http.response.status_code": status})
            if status >= 500:
                span.fail(code)
        return talk, answer

    def _route(self, path: str) -> str:
        """The path if it is one of the application's: whatever clients make up must not become names of spans."""
        for prefix, known in ((COMMANDS, self.app.commands), (QUERIES, self.app.queries)):
            if path.startswith(prefix):
                return path if path[len(prefix) :] in known else f"{prefix}{{name}}"
        return "/{path}"

    async def _answer(self, scope: Scope, headers: Headers, talk: Conversation, receive: Receive) -> Answer | None:
        try:
            return await self._dispatch(scope, headers, talk, receive)
        except ClientGoneError:
            return None
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            return problem_answer(_cut_short(path_of(scope)))
        except Exception as error:
            return problem_answer(error, correlation_id=talk.correlation_id, told=talk.was_brought)

    async def _dispatch(self, scope: Scope, headers: Headers, talk: Conversation, receive: Receive) -> Answer:
        path, method = path_of(scope), scope["method"]
        if path.startswith(COMMANDS):
            if not self.role.decides:
                raise WrongRoleError(self.role, Role.COMMAND)
            name = path[len(COMMANDS) :]
            if method == "OPTIONS":
                return _allowed(COMMAND_METHODS, self._commands.named(name))
            return await self._commands.answer(self.system, name, method, headers, talk, receive)
        if path.startswith(QUERIES):
            if not self.role.answers:
                raise WrongRoleError(self.role, Role.QUERY)
            name = path[len(QUERIES) :]
            if method == "OPTIONS":
                return _allowed(QUERY_METHODS, self._queries.named(name))
            query_string = scope["query_string"]
            return await self._queries.answer(self.system, name, method, headers, talk, query_string, receive)
        if path.startswith(OPERATIONS) and self._operator is not None:
            return await self._operator.answer(path, method, headers)
        page = self._pages.get(path)
        if page is None:
            raise UnknownPathError(path)
        if method == "OPTIONS":
            return _allowed(PAGE_METHODS, page)
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowedError(method, PAGE_METHODS)
        return await page(scope)

    # --- pages ---

    async def _livez(self, scope: Scope) -> Answer:
        return alive()

    async def _readyz(self, scope: Scope) -> Answer:
        return ready_answer(await readiness(self._system, self.role, starting=self._starting, stopping=self._leaving))

    async def _openapi_json(self, scope: Scope) -> Answer:
        return self._openapi.answer(scope.get("root_path", ""))

    async def _metrics(self, scope: Scope) -> Answer:
        """Lag is looked at now, and not when it was last folded: a projector that stands still counts nothing."""
        found = await readiness(self._system, self.role, starting=self._starting, stopping=self._leaving)
        head = None if found.head is msgspec.UNSET else found.head
        self.metrics.read_models_at(found.read_models, head)
        projectors = self._system.projectors if self._system else {}
        self.metrics.partitions_at(projectors, head)
        self.metrics.loads_at(self._system.loads if self._system else {})
        body = self.metrics.exposition()
        kind = self.metrics.content_type.encode()
        return Answer(200, [(b"content-type", kind), (b"content-length", b"%d" % len(body))], body)


def path_of(scope: Scope) -> str:
    """The path below the prefix that the door is mounted at."""
    path, root = scope["path"], scope.get("root_path", "")
    below: str = path.removeprefix(root) if root else path
    return below if below.startswith("/") else path


def _cut_short(path: str) -> UnavailableError:
    """What to say when there is no more time for an answer. A command may yet be done; a query changes nothing."""
    if path.startswith(COMMANDS):
        return UnknownOutcomeError("the service", "it stopped before the answer")
    return StoppingError()


def _allowed(methods: str, _found: object) -> Answer:
    return Answer(204, [(b"allow", methods.encode())], b"")
