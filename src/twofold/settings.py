"""Settings from the environment: one frozen class, every field with its unit, default and meaning.

An unknown `TWOFOLD_*` variable is an error, so that a misspelt setting is never silently a default.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple, cast

from twofold.errors import SettingsError

__all__ = ["Place", "Role", "Settings", "StoreKind", "masked", "variable_of"]

PREFIX = "TWOFOLD_"
DEFAULT_EVENT_LOG = "sqlite:///.twofold/log.db"


class Role(StrEnum):
    """What one process does. ALL is everything in one."""

    ALL = "all"
    COMMAND = "command"
    QUERY = "query"
    PROJECTOR = "projector"

    @property
    def decides(self) -> bool:
        return self in (Role.ALL, Role.COMMAND)

    @property
    def folds(self) -> bool:
        return self in (Role.ALL, Role.PROJECTOR)

    @property
    def answers(self) -> bool:
        return self in (Role.ALL, Role.QUERY)

    @property
    def sees_log(self) -> bool:
        """Whether it needs the event log."""
        return self.decides or self.folds

    @property
    def sees_rows(self) -> bool:
        """Whether it needs the read store."""
        return self.folds or self.answers


class StoreKind(Enum):
    """Which adapter a store needs."""

    MEMORY = "memory"
    SQLITE = "SQLite"
    POSTGRES = "PostgreSQL"


class Place(NamedTuple):
    """Where a store is, as its setting says. `str` of it may be shown: it has no password."""

    kind: StoreKind
    url: str

    @property
    def path(self) -> Path:
        """The file of a store on SQLite."""
        return Path(self.url.removeprefix(_SQLITE))

    def __str__(self) -> str:
        match self.kind:
            case StoreKind.MEMORY:
                return "memory"
            case StoreKind.SQLITE:
                return str(self.path)
            case StoreKind.POSTGRES:
                return masked(self.url)

    @classmethod
    def of(cls, variable: str, url: str) -> Place:
        """SettingsError for a URL that names no store."""
        if url == "memory:":
            return cls(StoreKind.MEMORY, url)
        if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
            return cls(StoreKind.SQLITE, url)
        if url.startswith(("postgresql://", "postgres://")):
            return cls(StoreKind.POSTGRES, url)
        raise SettingsError(
            f"{variable}={masked(url)!r}: no store; give sqlite:///file.db (sqlite:////folder/file.db), "
            "postgresql://user@host/database or memory:"
        )


_SQLITE = "sqlite:///"
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^/@:]*):[^/@]*(?=@)")
_HTTP_URL = re.compile(r"https?://[^/]")
_PASSWORD_PARAMETER = re.compile(r"(?<=[?&]password=)[^&\s]*")


def masked(text: str) -> str:
    """The text as it may be shown: passwords of URLs in it become stars."""
    return _PASSWORD_PARAMETER.sub("***", _PASSWORD.sub(r"\g<user>:***", text))


def _setting(default: Any, doc: str) -> Any:
    return dataclasses.field(default=default, metadata={"doc": doc})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set: `TWOFOLD_HTTP_PORT` sets `http_port`, and `TWOFOLD_HTTP_PORT_FILE` a file with it."""

    app: str = _setting("", "the application, as module:attribute")
    include: str = _setting(
        "", "names of the components that this service has, with commas between: Order,Product; empty: all"
    )
    event_log: str = _setting(
        DEFAULT_EVENT_LOG, "the event log: sqlite:///file (//// if absolute), postgresql://… or memory:"
    )
    read_store: str = _setting(
        "", "where read models are; empty: beside the event log (log.read.db, or the same PostgreSQL database)"
    )
    postgres_tls: str = _setting(
        "verify-full", "TLS towards PostgreSQL beyond this machine: verify-full, require (unverified) or off"
    )
    store_timeout_s: float = _setting(4.0, "seconds that a call of PostgreSQL may take before it is given up")
    http_host: str = _setting("127.0.0.1", "address to listen on")
    http_port: int = _setting(8000, "port to listen on; 0 takes a free one")
    http_max_body_bytes: int = _setting(1_048_576, "largest body of an HTTP request, in bytes")
    http_header_timeout_s: float = _setting(10.0, "seconds a client may take to send a request's head")
    http_body_timeout_s: float = _setting(10.0, "seconds a client may take to send a request's body")
    http_max_connections: int = _setting(2_000, "connections served at once; more are answered 503")
    max_waiting_commands: int = _setting(10_000, "commands accepted and not yet answered; more are refused")
    max_waiting_queries: int = _setting(2_000, "queries accepted and not yet answered; more are refused")
    adaptive_limits: bool = _setting(
        True, "find by measuring how many commands and queries are worked on at once; false: as many as may wait"
    )
    overload_delay_s: float = _setting(0.1, "seconds by which what is at work may hold itself up before less is let in")
    command_wait_s: float = _setting(0.5, "seconds that a command over the limit waits before it is refused")
    query_wait_s: float = _setting(0.2, "seconds that a query over the limit waits before it is refused")
    command_attempts: int = _setting(50, "times a command is decided before a lost race is reported")
    command_timeout_s: float = _setting(4.0, "seconds that a command may wait before it is decided")
    append_batch_size: int = _setting(256, "most commands in one append")
    aggregate_cache_size: int = _setting(10_000, "live aggregates kept in memory")
    page_size: int = _setting(2_000, "most events that a projector folds in one transaction")
    poll_s: float = _setting(1.0, "seconds between looks at the event log when no wake-up comes")
    consistency_wait_s: float = _setting(5.0, "seconds a query waits for its wanted position unless it says otherwise")
    query_timeout_s: float = _setting(30.0, "seconds a query may take")
    stale_answers_bytes: int = _setting(
        16_777_216, "most bytes of answers that are remembered for queries with stale_ok_s"
    )
    lease_s: float = _setting(5.0, "seconds until a projector that is silent loses its partitions to another")
    position_cookie: bool = _setting(True, "let browsers read their own writes: a cookie with the last position")
    rebuild_changed: bool = _setting(True, "rebuild a read model at start when the code that folds it has changed")
    drain_grace_s: float = _setting(
        0.0, "seconds that the process serves on, no longer ready, after it is told to stop"
    )
    drain_timeout_s: float = _setting(4.0, "seconds to finish accepted work when the process is told to stop")
    log_level: str = _setting("info", "least severity that is logged: debug, info, warning, error")
    log_format: str = _setting("auto", "json, text, or auto: text on a terminal and JSON elsewhere")
    access_log: bool = _setting(True, "log a line per request over HTTP")
    otlp_endpoint: str = _setting(
        "", "where traces are sent, by OTLP over HTTP; empty: as OTEL_* say, by default nowhere"
    )

    @property
    def included(self) -> tuple[str, ...]:
        """The names of `include`; none for everything."""
        return tuple(name for each in self.include.split(",") if (name := each.strip()))

    @property
    def event_log_at(self) -> Place:
        return Place.of("TWOFOLD_EVENT_LOG", self.event_log)

    @property
    def read_store_at(self) -> Place:
        """As the setting says; by default beside the event log: a second file, the same database, or memory too."""
        if self.read_store:
            return Place.of("TWOFOLD_READ_STORE", self.read_store)
        log = self.event_log_at
        if log.kind is not StoreKind.SQLITE:
            return log
        return Place(StoreKind.SQLITE, f"{_SQLITE}{log.path.with_suffix('.read.db')}")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **overrides: Any) -> Settings:
        """Settings from `TWOFOLD_*` variables and `*_FILE` files; overrides that are None are left out.

        SettingsError names the variable, the value and the nearest known name.
        """
        values: dict[str, Any] = {}
        for variable, text in environ.items():
            if variable.startswith(PREFIX):
                name, value = _named(variable, text)
                values[name] = _parsed(variable, _FIELDS[name], value)
        values.update({name: value for name, value in overrides.items() if value is not None})
        return dataclasses.replace(cls(), **values).checked()

    def checked(self) -> Settings:
        """Itself; SettingsError for a value that is out of range."""
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            least_is_0 = each.name in _MAY_BE_0 and value == 0
            if type(value) in (int, float) and not 0 < value < math.inf and not least_is_0:
                raise SettingsError(f"{variable_of(each.name)}={value}: must be more than 0; nothing was started")
        if not 0 <= self.http_port <= 65_535:
            raise SettingsError(f"TWOFOLD_HTTP_PORT={self.http_port}: a port is 0 to 65535; nothing was started")
        if self.otlp_endpoint and not _HTTP_URL.match(self.otlp_endpoint):
            given = f"TWOFOLD_OTLP_ENDPOINT={self.otlp_endpoint!r}"
            raise SettingsError(f"{given}: give a URL of OTLP over HTTP, http://collector:4318; nothing was started")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                value = f"{variable_of(name)}={getattr(self, name)!r}"
                raise SettingsError(f"{value}: give one of {', '.join(known)}; nothing was started")
        return self


_MAY_BE_0 = ("http_port", "drain_grace_s")
_CHOICES = {
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("auto", "json", "text"),
    "postgres_tls": ("verify-full", "require", "off"),
}
_FIELDS = {each.name: each for each in dataclasses.fields(Settings)}
_TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def variable_of(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _named(variable: str, text: str) -> tuple[str, str]:
    """The setting that a variable sets, and its text (read from the file that a `*_FILE` variable names)."""
    name = variable.removeprefix(PREFIX).lower()
    if name in _FIELDS:
        return name, text
    if name.endswith("_file") and name.removesuffix("_file") in _FIELDS:
        try:
            return name.removesuffix("_file"), Path(text).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{variable}: the file {text!r} can't be read: {error.strerror}") from None
    nearest = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.5)
    hint = f"; did you mean {variable_of(nearest[0])}?" if nearest else "; docs/reference/settings.md lists them all"
    raise SettingsError(f"{variable} is no setting{hint} (nothing was started)")


def _parsed(variable: str, field: dataclasses.Field[Any], text: str) -> Any:
    kind = cast("Callable[[str], Any]", type(field.default))
    try:
        return _TRUTHS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        wanted = {"bool": "true or false", "int": "a whole number", "float": "a number"}[kind.__name__]
        raise SettingsError(f"{variable}={text!r}: {field.metadata['doc']}; give {wanted}") from None
