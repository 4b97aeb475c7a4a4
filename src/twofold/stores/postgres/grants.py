"""Roles of PostgreSQL: who may do what with the stores, and a check that a service can do no more than it needs.

A service that can't change events can't be made to change them, whatever is wrong with it or with its secrets.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import LiteralString

import structlog

from twofold.errors import StoreError
from twofold.settings import Settings
from twofold.stores.postgres.connections import Connection, Connections
from twofold.stores.postgres.statements import load_sql, trusted

__all__ = ["check_rights", "guard", "make_roles", "roles_script"]

SQL = load_sql("roles.sql")

ROLE_OF_SERVICE = {"command": "twofold_writer", "query": "twofold_reader", "projector": "twofold_projector"}
_SCHEMAS: Mapping[str, tuple[str, LiteralString]] = {
    "twofold_log": ("twofold_owner", SQL["grant_event_log"]),
    "twofold_read": ("twofold_projector", SQL["grant_read_store"]),
}
"""Who owns what is in a schema, and what others get."""

logger = structlog.get_logger("twofold.postgres")


def roles_script(schemas: tuple[str, ...] = ("twofold_log", "twofold_read")) -> str:
    """The statements that make the roles and give them their rights on these schemas, for psql; repeatable."""
    return "".join(f"{statement};\n\n" for statement in _statements(schemas))


def _statements(schemas: Iterable[str]) -> Generator[LiteralString]:
    yield SQL["make_roles"]
    for schema in schemas:
        owner, grants = _SCHEMAS[schema]
        yield trusted(SQL["own"].format(schema=schema, owner=owner))
        yield grants


async def make_roles(url: str, settings: Settings) -> tuple[str, ...]:
    """Make the roles, and give them their rights on those of Twofold's schemas that are in this database: the result.

    Needs a superuser, or a user with CREATEROLE who owns the schemas. StoreError otherwise; then nothing was changed.
    """
    opening = Connections.open(url, label="database", settings=settings, role="schema", component="roles", size=1)
    async with opening as connections, connections.lend() as connection, connection.transaction():
        found = await (await connection.execute(SQL["schemas"], (list(_SCHEMAS),))).fetchall()
        names = tuple(name for (name,) in found)
        for statement in _statements(names):
            await connection.execute(statement, prepare=False)
        return names


async def check_rights(connection: Connection, role: str, *, store: str = "event log") -> None:
    """StoreError when this user could INSERT, UPDATE, DELETE or TRUNCATE events, itself or as a role it may become.

    Superusers and owners can. Where there is no event log in the database, all is well.
    """
    row = await (await connection.execute(SQL["rights"])).fetchone()
    if row is None or not row[1]:
        return
    user, could = row
    wanted = ROLE_OF_SERVICE.get(role, "twofold_writer")
    raise StoreError(
        store,
        f"the user {user} of this {role} service could change events ({', '.join(could)})",
        f'run "twofold schema roles", then give the service a user of its own: CREATE USER … IN ROLE {wanted}',
    )


async def guard(connections: Connections, role: str) -> None:
    """Refuse a service of production whose user could change events (StoreError); only warn anyone else."""
    try:
        async with connections.lend() as connection:
            await check_rights(connection, role, store=connections.store)
    except StoreError as error:
        if role in ROLE_OF_SERVICE:
            raise
        logger.warning("postgres-rights", store=connections.store, reason=error.reason)
