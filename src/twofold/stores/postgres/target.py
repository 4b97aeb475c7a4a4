"""Where a PostgreSQL database is, and how to speak to it: from a URL and the settings, checked before anything starts.

TLS is `verify-full` unless every host is this machine or the settings say otherwise. Every connection has limits of
time on both sides; behind a pooler that takes no settings of a session, this process's own limits remain.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from twofold.errors import SettingsError
from twofold.settings import Settings

__all__ = ["DIRECT", "Target", "is_postgres"]

_SCHEMES = ("postgresql://", "postgres://")
_SSL_MODES = {"verify-full": "verify-full", "require": "require", "off": "disable"}
_KEEPALIVES = {"keepalives": "1", "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "2"}

DIRECT = "twofold.direct"
"""A setting of the session that says that PostgreSQL itself took our settings, and not a pooler that dropped them."""


def is_postgres(url: str) -> bool:
    return url.startswith(_SCHEMES)


@dataclass(frozen=True, slots=True)
class Target:
    """A database and the parameters of libpq to reach it. `place` names it in errors and logs, without the password."""

    place: str
    tls: str
    parameters: Mapping[str, str]
    timeout_s: float

    @classmethod
    def parse(cls, url: str, settings: Settings, *, application_name: str) -> Target:
        """SettingsError for a URL that is none of PostgreSQL, or that asks for less TLS than the settings."""
        given = _parsed(url)
        hosts = [host for key in ("hostaddr", "host") for host in given.get(key, "").split(",") if host]
        wanted = None if all(map(_is_here, hosts)) else _SSL_MODES[settings.postgres_tls]
        tls: Mapping[str, str] = {} if wanted is None else _tls(given, wanted)
        parameters = {
            "gssencmode": "disable",
            "connect_timeout": str(max(2, round(settings.store_timeout_s / 2))),
            "tcp_user_timeout": str(round(settings.store_timeout_s * 1000)),
            **_KEEPALIVES,
            **given,
            **tls,
            "application_name": application_name,
            "client_encoding": "UTF8",
        }
        mode = tls.get("sslmode") or given.get("sslmode") or "on this machine"
        return cls(_place(given), mode, parameters, settings.store_timeout_s)

    def session(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """The parameters of a connection straight to PostgreSQL, with these settings for its session."""
        escaped = {name: value.replace(" ", r"\ ") for name, value in values.items()}
        words = [f"-c {name}={value}" for name, value in {**escaped, DIRECT: "on"}.items()]
        return {**self.parameters, "options": " ".join([self.parameters.get("options", ""), *words]).strip()}


def _parsed(url: str) -> Mapping[str, str]:
    if not is_postgres(url):
        raise SettingsError(f"{url.partition(':')[0]!r}: no PostgreSQL; give postgresql://user@host:port/database")
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        # libpq's text repeats the URL, and so its password.
        reason = str(error).partition(":")[0].strip()
        raise SettingsError(f"the URL of PostgreSQL can't be read ({reason}); nothing was started") from None


def _tls(given: Mapping[str, str], wanted: str) -> Mapping[str, str]:
    asked = given.get("sslmode", wanted)
    if asked not in (wanted, "verify-full"):
        raise SettingsError(
            f"{_place(given)}: the URL says sslmode={asked} and TWOFOLD_POSTGRES_TLS asks for {wanted}; "
            "nothing was started (change one of them)"
        )
    if asked == "verify-full" and "sslrootcert" not in given and not _has_root_certificate():
        return {"sslmode": asked, "sslrootcert": "system"}
    return {"sslmode": asked}


def _has_root_certificate() -> bool:
    return "PGSSLROOTCERT" in os.environ or (Path.home() / ".postgresql" / "root.crt").exists()


def _is_here(host: str) -> bool:
    """Whether it is this machine: a folder with a socket, or loopback."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _place(given: Mapping[str, str]) -> str:
    hosts = given.get("host") or given.get("hostaddr") or "localhost"
    port = f":{given['port']}" if "port" in given else ""
    return f"postgresql://{hosts}{port}/{given.get('dbname', given.get('user', ''))}"
