"""The ASGI application: finds what a path means, and turns whatever happens into one answer.

The hot paths read the scope as it comes; no request object is made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from twofold.application import Application
from twofold.errors import StoppingError, TwofoldError, UnavailableError, UnknownOutcomeError, WrongRoleError
from twofold.http.answers import Answer, Header, Receive, Scope, Send
from twofold.http.commands import COMMAND_METHODS, Commands
from twofold.http.docs_page import docs_pages
from twofold.http.headers import Headers, by_name, correlation
from twofold.http.health import alive, readiness, ready_answer
from twofold.http.limits import Bodies, ClientGoneError
from twofold.http.openapi import OpenApi
from twofold.http.operations import OPERATIONS, OperatorDoor
from twofold.http.problems import MethodNotAllowedError, NotStartedError, UnknownPathError, problem_answer
from twofold.http.queries import QUERY_METHODS, Queries
from twofold.observability.metrics import Metrics
from twofold.runtime.lifecycle import System
from twofold.settings import Role, Settings
from twofold.wiring import connect, included_part

__all__ = ["HttpDoor", "asgi"]

COMMANDS = "/commands/"
QUERIES = "/queries/"
PAGE_METHODS = "GET, HEAD, OPTIONS"

Page = Callable[[Scope], Awaitable[Answer]]


def asgi(app: Application, settings: Settings | None = None, *, role: Role = Role.ALL) -> HttpDoor:
    """The application over HTTP, to be served on its own or mounted in Starlette, FastAPI or Litestar.

    A host framework runs the system: `FastAPI(lifespan=shop.lifespan)`. On its own, the ASGI lifespan does. What the
    role does not do is answered 404 `wrong-role`.
    """
    return HttpDoor(app, settings.checked() if settings else Settings.from_environment(os.environ), role)


class HttpDoor:
    """One application over HTTP. `lifespan` starts and stops the system behind it; `strict` is as `connect` has it."""

    def __init__(self, app: Application, settings: Settings, role: Role = Role.ALL, *, strict: bool = False) -> None:
        self.app = app = included_part(app, settings, role)
        self.settings, self.role, self._strict = settings, role, strict
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
            async with connect(
                self.app, self.settings, role=self.role, strict=self._strict, probe=self.metrics
            ) as system:
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
        headers = by_name(scope["headers"])
        answer = await self._answer(scope, headers, receive)
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

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer | None:
        conversation: Header | None = None
        try:
            conversation = correlation(headers)
            answer = await self._dispatch(scope, headers, conversation, receive)
        except ClientGoneError:
            return None
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            answer = problem_answer(_cut_short(path_of(scope)))
        except Exception as error:
            answer = problem_answer(error, correlation_id=conversation[1].decode() if conversation else "")
        if conversation is not None:
            answer.headers.append(conversation)
        return answer

    async def _dispatch(self, scope: Scope, headers: Headers, conversation: Header | None, receive: Receive) -> Answer:
        path, method = path_of(scope), scope["method"]
        if path.startswith(COMMANDS):
            if not self.role.decides:
                raise WrongRoleError(self.role, Role.COMMAND)
            name = path[len(COMMANDS) :]
            if method == "OPTIONS":
                return _allowed(COMMAND_METHODS, self._commands.named(name))
            return await self._commands.answer(self.system, name, method, headers, conversation, receive)
        if path.startswith(QUERIES):
            if not self.role.answers:
                raise WrongRoleError(self.role, Role.QUERY)
            name = path[len(QUERIES) :]
            if method == "OPTIONS":
                return _allowed(QUERY_METHODS, self._queries.named(name))
            return await self._queries.answer(self.system, name, method, headers, scope["query_string"], receive)
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
        self.metrics.partitions_at({name: each.shares for name, each in projectors.items()}, head)
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
