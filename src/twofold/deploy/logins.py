"""Who logs in to which database, with the least rights: names and references; values are made once and kept out of Git.

Services don't share a login: the command service may append and not change, the query service may only read the read
store, and the one that migrates runs once and ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from twofold.deploy.files import mark
from twofold.deploy.templates import filled
from twofold.deploy.topology import Topology
from twofold.settings import Role

__all__ = ["OWNER", "SERVERS", "Login", "database_of", "init_files", "logins_of", "missing_secrets", "superuser_secret"]

OWNER = "owner"
"""Not a role of a service: who makes and migrates the schemas."""

SERVERS: Mapping[str, str] = {"event_log": "event-log", "read_store": "read-store"}
"""Each store that has a PostgreSQL of its own, and the server's name."""

_GRANTS: Mapping[tuple[str, str], str] = {
    ("command", "event_log"): "twofold_writer",
    ("projector", "event_log"): "twofold_projector",
    ("projector", "read_store"): "twofold_projector",
    ("query", "read_store"): "twofold_reader",
}
_SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True)
class Login:
    """Whose it is (a role of services, or OWNER), for which store. `secret` names the secret that holds its URL."""

    whose: str
    store: str
    user: str
    group: str

    @property
    def server(self) -> str:
        return SERVERS[self.store]

    @property
    def secret(self) -> str:
        return f"{self.whose}-{self.server}"


def logins_of(topology: Topology) -> tuple[Login, ...]:
    """Every login of the services, and the owner's."""
    owner = (Login(OWNER, store, _SUPERUSER, "") for store in SERVERS)
    granted = ((whose, store, group) for (whose, store), group in _GRANTS.items() if Role(whose) in topology.roles)
    return (*owner, *(Login(whose, store, f"{_sql_name(topology)}_{whose}", group) for whose, store, group in granted))


def database_of(topology: Topology) -> str:
    return _sql_name(topology)


def superuser_secret(server: str) -> str:
    return f"{server}-superuser"


def missing_secrets(topology: Topology, known: Mapping[str, str]) -> Mapping[str, str]:
    """New passwords, and URLs with passwords, by secret: those that are not known yet.

    For servers that the generated files run themselves.
    """
    superusers = map(superuser_secret, SERVERS.values())
    texts: dict[str, str] = {name: known.get(name) or secrets.token_urlsafe(24) for name in superusers}
    for login in logins_of(topology):
        owned = login.whose == OWNER
        password = texts[superuser_secret(login.server)] if owned else secrets.token_urlsafe(24)
        at = f"{login.server}:5432/{database_of(topology)}"
        texts[login.secret] = f"postgresql://{login.user}:{quote(password, safe='')}@{at}"
    return {name: text for name, text in texts.items() if name not in known}


def init_files(topology: Topology, *, secrets_folder: str) -> Iterator[tuple[str, str]]:
    """SQL that PostgreSQL's image runs when it makes its database: the groups of rights, and the logins in them."""
    for server in SERVERS.values():
        own = [each for each in logins_of(topology) if each.server == server and each.group]
        yield (
            f"{server}.sql",
            filled(
                "logins.sql.tmpl",
                mark=mark("compose"),
                logins="\n".join(
                    filled("login.sql.tmpl", user=each.user, group=each.group, file=f"{secrets_folder}/{each.secret}")
                    for each in own
                ),
            ),
        )


def _sql_name(topology: Topology) -> str:
    return topology.name.replace("-", "_")
