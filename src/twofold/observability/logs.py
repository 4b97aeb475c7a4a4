"""Logs are events with fields, one per line on standard error: JSON for programs, text for a terminal.

Everything goes through the standard library's root logger, so that uvicorn, asyncio and the user's own libraries come
out in the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec
import structlog

from twofold.errors import SettingsError
from twofold.observability.lines import Line, Lines
from twofold.settings import Settings

__all__ = ["configure_logs"]

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_FORMATS = ("auto", "json", "text")
_QUIET = {"asyncio": logging.WARNING, "uvicorn.error": logging.ERROR}
"""Loggers that say less: uvicorn warns of whatever a client does wrong, which its client and the metrics are told."""


def configure_logs(settings: Settings, *, stream: TextIO | None = None) -> Lines:
    """Send the process's logs to the stream (default: standard error) as the settings say; returns where lines go that
    come by the thousand.

    For processes of Twofold's own: `connect` and `asgi` leave the logs of the program that they live in alone.
    SettingsError for a level or format that is none.
    """
    level, as_json = _level(settings.log_level), _is_json(settings.log_format, stream or sys.stderr)
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_facts(), processors=_rendered(as_json)))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, least))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_facts(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return Lines(handler.write if as_json else _log, least=level, requests=settings.access_log)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines as JSON past all formatting, between records and not into them."""

    def write(self, lines: Sequence[Line]) -> None:
        self.acquire()
        try:
            self.stream.write(_encode_lines(lines).decode())
            self.stream.flush()
        except (OSError, ValueError):
            pass  # whoever reads the logs is gone: no reason to stop serving
        finally:
            self.release()


_encode_lines = msgspec.json.Encoder().encode_lines


def _log(lines: Sequence[Line]) -> None:
    """The same for a terminal, as other logs are."""
    for line in lines:
        fields = msgspec.to_builtins(line)
        del fields["timestamp"]
        level, event = _LEVELS[fields.pop("level")], fields.pop("event")
        structlog.stdlib.get_logger(fields.pop("logger")).log(level, event, **fields)


def _level(name: str) -> int:
    if name.lower() not in _LEVELS:
        raise SettingsError(f"TWOFOLD_LOG_LEVEL={name!r}: give one of {', '.join(_LEVELS)}; nothing was started")
    return _LEVELS[name.lower()]


def _is_json(name: str, stream: TextIO) -> bool:
    if name.lower() not in _FORMATS:
        raise SettingsError(f"TWOFOLD_LOG_FORMAT={name!r}: give one of {', '.join(_FORMATS)}; nothing was started")
    return name.lower() == "json" or (name.lower() == "auto" and not stream.isatty())


def _facts() -> list[structlog.typing.Processor]:
    """What is added to every line: when, how bad, and by whom it was written."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendered(as_json: bool) -> list[structlog.typing.Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if as_json:
        return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    return [strip, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _to_json(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
