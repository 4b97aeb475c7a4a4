"""The schema of a store in PostgreSQL: numbered steps, forward only, each in one transaction under one lock, recorded.

Services never migrate: they refuse a schema that is not this release's, with the command that mends it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

from twofold.errors import ForeignStoreError, TwofoldError, UnknownSchemaError
from twofold.settings import Settings
from twofold.stores.postgres.connections import Connection, Connections
from twofold.stores.postgres.statements import load_sql, trusted
from twofold.stores.reports import StoreReport
from twofold.stores.statements import load_migrations

__all__ = ["Schema", "act_as_owner"]

SQL = load_sql("schema.sql")

MIGRATION_TIMEOUT_S = 3600.0
_LOCK = 0x32464D49  # "2FMI", of the database


@dataclass(frozen=True, slots=True)
class Schema:
    """The objects of one kind of store: the PostgreSQL schema that they live in, and the steps that make them."""

    label: str
    name: str
    steps: tuple[str, ...]

    @classmethod
    def load(cls, label: str, *, name: str, folder: str) -> Schema:
        """The steps are the files of a folder under `migrations`."""
        return cls(label, name, load_migrations(Path(__file__).parent / "migrations" / folder))

    @property
    def number(self) -> int:
        """The schema's number once every step is done."""
        return len(self.steps)

    async def check(self, connections: Connections, *, tell: bool = True) -> None:
        """UnknownSchemaError, or ForeignStoreError, unless the database is at exactly this schema.

        With `tell` it is logged what was opened: not where another part of the process has told so of this database.
        """

        async def look(connection: Connection) -> int:
            found = await self.found(connection)
            if tell and found == self.number:
                connections.tell(connection)
            return found

        found = await connections.read(look)
        if found != self.number:
            raise self._unknown(connections.store, found)

    async def found(self, connection: Connection) -> int:
        """The schema that the database is at, 0 when nothing is there. ForeignStoreError for what is not ours."""
        row = await (await connection.execute(SQL["state"], {"schema": self.name})).fetchone()
        recorded, objects = row or (False, 0)
        if not recorded:
            if objects:
                store = f"{self.label} {connection.info.dbname}"
                reason = f"the schema {self.name} holds {objects} objects and is none of Twofold's"
                raise ForeignStoreError(store, reason, f"give the {self.label} a database of its own")
            return 0
        row = await (await connection.execute(_in(self.name, "number"), prepare=False)).fetchone()
        return row[0] if row else 0

    async def migrate(self, url: str, settings: Settings) -> int:
        """Do the steps that are missing; returns the schema's number before. Any number may be run at once.

        UnknownSchemaError when the database is of a newer release: then it stays as it is.
        """
        opening = Connections.open(
            url,
            label=self.label,
            settings=settings,
            role="schema",
            component="migrate",
            size=1,
            statement_timeout_s=MIGRATION_TIMEOUT_S,
        )
        async with opening as connections, connections.lend(MIGRATION_TIMEOUT_S) as connection:
            before: int | None = None
            while (number := await self._migrate_once(connections.store, connection)) is not None:
                before = number if before is None else before
            return self.number if before is None else before

    async def _migrate_once(self, store: str, connection: Connection) -> int | None:
        """Do the next step; returns the number that it met, None when there was nothing to do."""
        async with connection.transaction():
            await connection.execute(SQL["lock"], (_LOCK,))
            found = await self.found(connection)
            if found > self.number:
                raise self._unknown(store, found)
            if found == self.number:
                return None
            if found == 0:
                await self._make_empty(connection)
            await act_as_owner(connection, self.name)
            await connection.execute(trusted(self.steps[found]), prepare=False)
            await connection.execute(_in(self.name, "record"), (found + 1,), prepare=False)
            return found

    async def _make_empty(self, connection: Connection) -> None:
        row = await (await connection.execute(SQL["exists"], {"schema": self.name})).fetchone()
        if row == (False,):
            await connection.execute(_in(self.name, "create"), prepare=False)
        await act_as_owner(connection, self.name)
        await connection.execute(_in(self.name, "create_record"), prepare=False)

    async def inspect(self, url: str, settings: Settings) -> StoreReport:
        """What there is to say about the store. What is wrong with it is said in the report and not raised."""
        facts: dict[str, Any] = {"label": self.label, "place": "", "known_schema": self.number, "made_by_hand": True}
        try:
            opening = Connections.open(
                url, label=self.label, settings=settings, role="schema", component="inspect", size=1
            )
            async with opening as connections:
                facts["place"] = connections.store.removeprefix(f"{self.label} ")
                found, size_bytes = await connections.read(self._looked_at)
        except TwofoldError as error:
            return StoreReport(**facts, error=str(error))
        return StoreReport(**facts, schema=found or None, exists=found > 0, writable=True, size_bytes=size_bytes)

    async def _looked_at(self, connection: Connection) -> tuple[int, int]:
        row = await (await connection.execute(SQL["size"], {"schema": self.name})).fetchone()
        return await self.found(connection), row[0] if row else 0

    def _unknown(self, store: str, found: int) -> UnknownSchemaError:
        if found > self.number:
            remedy = "run the release that migrated it, or a newer one"
        else:
            remedy = 'run "twofold schema migrate"'
        state = f"is at {found}" if found else "is missing"
        return UnknownSchemaError(store, f"its schema {self.name} {state}, this release needs {self.number}", remedy)


async def act_as_owner(connection: Connection, schema: str) -> None:
    """To the end of the transaction, act as the role that owns the PostgreSQL schema, where this user may: what is made
    then belongs to that role, whoever made it."""
    await connection.execute(SQL["act_as_owner"], {"schema": schema})


def _in(schema: str, statement: str) -> LiteralString:
    if not re.fullmatch(r"\w+", schema):
        raise ValueError(f"{schema!r} is no name of a schema")
    return trusted(SQL[statement].format(schema=schema))
