"""Twofold: CQRS with event sourcing. Write commands, events, aggregates, read models and queries; Twofold runs them."""

from typing import TYPE_CHECKING, Any

from msgspec import Meta

from twofold.aggregate import Aggregate, Context, apply, handle
from twofold.application import Application
from twofold.codec import upcast
from twofold.errors import (
    AlreadyExistsError,
    DeclarationError,
    InvalidInputError,
    NotFoundError,
    NotYetConsistentError,
    RefusedError,
    Rejected,
    TwofoldError,
    UnavailableError,
    UnknownOutcomeError,
    WrongExpectedVersionError,
)
from twofold.messages import Command, Event, Metadata, Query, Recorded
from twofold.query import View, answer
from twofold.read_model import ReadModel, on
from twofold.settings import Settings
from twofold.streams import Position, StreamId

if TYPE_CHECKING:
    from twofold.http.app import asgi
    from twofold.runtime.lanes import Accepted
    from twofold.runtime.lifecycle import System
    from twofold.wiring import connect

__all__ = [
    "Accepted",
    "Aggregate",
    "AlreadyExistsError",
    "Application",
    "Command",
    "Context",
    "DeclarationError",
    "Event",
    "InvalidInputError",
    "Meta",
    "Metadata",
    "NotFoundError",
    "NotYetConsistentError",
    "Position",
    "Query",
    "ReadModel",
    "Recorded",
    "RefusedError",
    "Rejected",
    "Settings",
    "StreamId",
    "System",
    "TwofoldError",
    "UnavailableError",
    "UnknownOutcomeError",
    "View",
    "WrongExpectedVersionError",
    "answer",
    "apply",
    "asgi",
    "connect",
    "handle",
    "on",
    "upcast",
]

_RUNNING = {
    "Accepted": "twofold.runtime.lanes",
    "System": "twofold.runtime.lifecycle",
    "asgi": "twofold.http.app",
    "connect": "twofold.wiring",
}


def __getattr__(name: str) -> Any:
    """What runs a system is imported when it is first used, so that declarations import quickly."""
    if name not in _RUNNING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_RUNNING[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
