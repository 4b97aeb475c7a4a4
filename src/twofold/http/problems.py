"""Errors as RFC 9457 problem details: one table says what each means over HTTP.

A 5xx that is a bug or a broken store tells its reader nothing but the correlation id; the log has the rest.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import structlog

from twofold import errors
from twofold.errors import TwofoldError
from twofold.http.answers import Answer

__all__ = ["PROBLEM_JSON", "HttpError", "Problem", "meaning_of", "problem_answer"]

PROBLEM_JSON = b"application/problem+json"

logger = structlog.get_logger("twofold.http")


class HttpError(TwofoldError):
    """The request can't be taken as HTTP. Nothing was done."""

    code = "bad-request"


class UnknownPathError(HttpError):
    """Nothing is at this path."""

    code = "unknown-path"

    def __init__(self, path: str) -> None:
        super().__init__(f"nothing is at {errors.shortened(path)}; /docs lists every command and query")


class MethodNotAllowedError(HttpError):
    """The path is right and the method is not. `allow` has the methods that are."""

    code = "method-not-allowed"

    def __init__(self, method: str, allow: str) -> None:
        self.allow = allow
        super().__init__(f"{errors.shortened(method, 20)} is not for this path; nothing was done (use {allow})")


class UnsupportedMediaTypeError(HttpError):
    """The body is not declared to be plain JSON."""

    code = "unsupported-media-type"

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the body is {found}; nothing was done (send JSON in UTF-8, with Content-Type: application/json and "
            "without Content-Encoding)"
        )


class BodyTooLargeError(HttpError):
    """The body is longer than the setting allows; the rest of it was not read."""

    code = "body-too-large"

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"the body is longer than {limit_bytes} bytes; nothing was done (send less at a time)")


class BodyTimeoutError(HttpError):
    """The body did not come in time."""

    code = "body-timeout"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the body did not come within {timeout_s:g} seconds; nothing was done (send it again)")


class HeadTimeoutError(HttpError):
    """The request line and headers did not come in time."""

    code = "head-timeout"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the headers did not come within {timeout_s:g} seconds; nothing was done (send them again)")


class HeadTooLargeError(HttpError):
    """The request line and headers are longer than a server should have to keep."""

    code = "head-too-large"

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"the headers are longer than {limit_bytes} bytes; nothing was done (send fewer)")


class MalformedHttpError(HttpError):
    """The bytes are no HTTP/1.1."""

    code = "malformed-http"

    def __init__(self) -> None:
        super().__init__("the bytes are not an HTTP/1.1 request; nothing was done")


class MalformedQueryStringError(HttpError):
    """The query string is not percent-encoded UTF-8."""

    code = "malformed-query-string"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the query string is not percent-encoded UTF-8: {reason}; nothing was done")


class InvalidHeaderError(HttpError):
    """A header has a value without meaning. `header` names it."""

    code = "invalid-header"

    def __init__(self, header: str, value: str, wanted: str) -> None:
        self.header = header
        super().__init__(f"{header}: {errors.shortened(value)} has no meaning; nothing was done (give {wanted})")


class NotStartedError(errors.UnavailableError):
    """The system behind the door does not run: it is still starting, or nobody has started it."""

    code = "not-started"

    def __init__(self) -> None:
        super().__init__(
            "the system is not started; nothing was done (try again; if it never starts: a host framework must run "
            "the lifespan, as in FastAPI(lifespan=shop.lifespan))"
        )


class Meaning(NamedTuple):
    """What an error means over HTTP. `facts` are attributes of it that become members of the problem."""

    status: int
    title: str
    facts: tuple[str, ...] = ()


MEANINGS: dict[type[TwofoldError], Meaning] = {
    TwofoldError: Meaning(500, "Internal error"),
    HttpError: Meaning(400, "Bad request"),
    UnknownPathError: Meaning(404, "Unknown path"),
    MethodNotAllowedError: Meaning(405, "Method not allowed", ("allow",)),
    UnsupportedMediaTypeError: Meaning(415, "Unsupported media type"),
    BodyTooLargeError: Meaning(413, "Body too large", ("limit_bytes",)),
    BodyTimeoutError: Meaning(408, "Body timeout"),
    HeadTimeoutError: Meaning(408, "Head timeout"),
    HeadTooLargeError: Meaning(431, "Head too large", ("limit_bytes",)),
    MalformedHttpError: Meaning(400, "Malformed HTTP"),
    MalformedQueryStringError: Meaning(400, "Malformed query string"),
    InvalidHeaderError: Meaning(400, "Invalid header", ("header",)),
    errors.InvalidInputError: Meaning(400, "Invalid input"),
    errors.InvalidMessageError: Meaning(422, "Invalid message", ("pointer",)),
    errors.MalformedJsonError: Meaning(400, "Malformed JSON"),
    errors.InvalidKeyError: Meaning(422, "Invalid key"),
    errors.InvalidCommandIdError: Meaning(400, "Invalid command id"),
    errors.UnknownMessageError: Meaning(404, "Unknown command or query", ("nearest",)),
    errors.RefusedError: Meaning(409, "Refused"),
    errors.Rejected: Meaning(409, "Rejected"),
    errors.NotFoundError: Meaning(404, "Not found", ("stream",)),
    errors.AlreadyExistsError: Meaning(409, "Already exists", ("stream", "version")),
    errors.WrongExpectedVersionError: Meaning(412, "Wrong expected version", ("stream", "expected", "actual")),
    errors.CommandIdReusedError: Meaning(422, "Idempotency key reused", ("stream",)),
    errors.UnavailableError: Meaning(503, "Unavailable"),
    errors.OverloadedError: Meaning(503, "Overloaded"),
    errors.StoppingError: Meaning(503, "Stopping"),
    errors.ContentionError: Meaning(503, "Contention", ("stream",)),
    errors.NotYetConsistentError: Meaning(503, "Not yet consistent", ("wanted", "reached", "read_models")),
    errors.ReadModelNotReadyError: Meaning(503, "Read model not ready"),
    errors.CommandTimeoutError: Meaning(503, "Command timeout"),
    errors.QueryTimeoutError: Meaning(503, "Query timeout"),
    errors.StoreUnavailableError: Meaning(503, "Store unavailable"),
    errors.UnknownOutcomeError: Meaning(503, "Unknown outcome"),
    errors.WrongRoleError: Meaning(404, "Wrong role"),
    errors.WrongServiceError: Meaning(404, "Wrong service"),
    errors.UnknownReadModelError: Meaning(404, "Unknown read model"),
    errors.UnknownStreamError: Meaning(404, "Unknown stream"),
}
"""An error that is not listed means what its nearest listed ancestor does."""


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 problem details. `code` is stable and made for programs, `detail` for people.

    The other members are there where they mean something: `pointer` is a JSON pointer to the field that is wrong.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    retry_after_s: int | msgspec.UnsetType = msgspec.UNSET
    correlation_id: str | msgspec.UnsetType = msgspec.UNSET
    header: str | msgspec.UnsetType = msgspec.UNSET
    nearest: str | msgspec.UnsetType = msgspec.UNSET
    allow: str | msgspec.UnsetType = msgspec.UNSET
    limit_bytes: int | msgspec.UnsetType = msgspec.UNSET
    stream: str | msgspec.UnsetType = msgspec.UNSET
    version: int | msgspec.UnsetType = msgspec.UNSET
    expected: int | msgspec.UnsetType = msgspec.UNSET
    actual: int | msgspec.UnsetType = msgspec.UNSET
    wanted: int | msgspec.UnsetType = msgspec.UNSET
    reached: int | msgspec.UnsetType = msgspec.UNSET
    read_models: str | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=256)
def meaning_of(kind: type[Exception]) -> Meaning:
    """The meaning of an error's class: its own, or its nearest ancestor's."""
    found = next((MEANINGS[each] for each in kind.__mro__ if each in MEANINGS), None)  # pyright: ignore[reportArgumentType]
    return found or MEANINGS[TwofoldError]


def code_of(error: TwofoldError) -> str:
    """The stable code; an unknown name says of what."""
    return f"unknown-{error.kind}" if isinstance(error, errors.UnknownMessageError) else error.code


class _StoreTrouble:
    """Errors of stores name hosts, files and users, which are the operator's: clients are told what it means for them,
    and the service's log has the rest, once a second at most."""

    def __init__(self) -> None:
        self._told_at = -math.inf

    def detail(self, error: TwofoldError) -> str:
        """What a client may know of the error."""
        if isinstance(error, errors.UnknownOutcomeError):
            self._tell(error)
            return (
                "the event log did not answer, so it is unknown whether the command was done "
                "(send the same command with the same Idempotency-Key again: it takes effect once)"
            )
        if isinstance(error, errors.StoreUnavailableError):
            self._tell(error)
            return "a store is not available now; nothing was written (try again; the service's log says why)"
        return str(error)

    def _tell(self, error: TwofoldError) -> None:
        if monotonic() - self._told_at >= 1.0:
            self._told_at = monotonic()
            logger.warning(error.code, error=str(error))


_trouble = _StoreTrouble()


def problem_answer(
    error: Exception, *, pointer: str | None = None, correlation_id: str = "", told: bool = True
) -> Answer:
    """The error as an answer. Whatever is no fault of the client and not passing is logged, and told to nobody.

    The correlation id is a member of every problem if `told`, else only where the log has more under it.
    """
    meaning = meaning_of(type(error))
    if meaning.status == 500:
        return _answer(_hidden(error, correlation_id))
    assert isinstance(error, TwofoldError)
    retry_after_s = error.retry_after_s if isinstance(error, errors.UnavailableError) else msgspec.UNSET
    code = code_of(error)
    facts = {name: _told(getattr(error, name)) for name in meaning.facts}
    if pointer is not None:
        facts["pointer"] = pointer
    kind = "rejected" if isinstance(error, errors.Rejected) else code
    return _answer(
        Problem(
            type=f"urn:twofold:problem:{kind}",
            title=meaning.title,
            status=meaning.status,
            detail=_trouble.detail(error),
            code=code,
            retry_after_s=retry_after_s,
            correlation_id=correlation_id if told and correlation_id else msgspec.UNSET,
            **facts,
        )
    )


def _told(value: Any) -> Any:
    return msgspec.UNSET if value is None else value


def _hidden(error: Exception, correlation_id: str) -> Problem:
    if isinstance(error, errors.HandlerFailedError):
        correlation_id = error.correlation_id  # logged where it failed
    else:
        correlation_id = correlation_id or os.urandom(16).hex()
        logger.error("answer-failed", correlation_id=correlation_id, error=str(error), exc_info=error)
    code = error.code if isinstance(error, TwofoldError) else errors.HandlerFailedError.code
    return Problem(
        type=f"urn:twofold:problem:{code}",
        title=MEANINGS[TwofoldError].title,
        status=500,
        detail=f"the service failed; nothing was done (its log has the details under correlation id {correlation_id})",
        code=code,
        correlation_id=correlation_id,
    )


def _answer(problem: Problem) -> Answer:
    body = _encode(problem)
    headers = [(b"content-type", PROBLEM_JSON), (b"content-length", b"%d" % len(body))]
    if problem.retry_after_s is not msgspec.UNSET:
        headers.append((b"retry-after", b"%d" % problem.retry_after_s))
    if problem.allow is not msgspec.UNSET:
        headers.append((b"allow", problem.allow.encode()))
    return Answer(problem.status, headers, body, problem.code)
