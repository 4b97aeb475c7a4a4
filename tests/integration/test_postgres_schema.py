"""Migrations of a PostgreSQL database: numbered steps, each with its number in one transaction, under one lock."""

import asyncio
import dataclasses

import psycopg
import pytest

from tests.integration.postgres_logs import SETTINGS, A, deposit, everything, migrated, opened, sql
from twofold.errors import ForeignStoreError, StoreUnavailableError, UnknownSchemaError
from twofold.settings import Settings
from twofold.stores.postgres.event_log import SCHEMA

NEXT = dataclasses.replace(SCHEMA, steps=(*SCHEMA.steps, "CREATE TABLE twofold_log.note (text text);"))
BROKEN = dataclasses.replace(
    NEXT, steps=(*NEXT.steps, "CREATE TABLE twofold_log.more (n int); CREATE TABLE twofold_log.note (n int);")
)
TABLES = {"event", "command", "snapshot", "head", "twofold_migration"}


async def state(url: str) -> tuple[int, set[str]]:
    ((number,),) = await sql(url, "SELECT max(number) FROM twofold_log.twofold_migration")
    return number, {
        name for (name,) in await sql(url, "SELECT tablename FROM pg_tables WHERE schemaname='twofold_log'")
    }


async def test_an_empty_database_is_migrated_once_however_many_do_it(database: str) -> None:
    before = await asyncio.gather(*(SCHEMA.migrate(database, SETTINGS) for _ in range(8)))
    assert min(before) == 0
    assert await state(database) == (SCHEMA.number, TABLES)


async def test_an_older_database_is_migrated_and_keeps_its_events(database: str) -> None:
    async with opened(await migrated(database)) as log:
        await log.append([deposit(A, 0, events=3)])
    assert await NEXT.migrate(database, SETTINGS) == SCHEMA.number
    assert await state(database) == (NEXT.number, TABLES | {"note"})
    assert await sql(database, "SELECT count(*) FROM twofold_log.event") == [(3,)]


async def test_a_service_refuses_a_database_without_schema_and_says_what_mends_it(database18: str) -> None:
    with pytest.raises(UnknownSchemaError, match=r'twofold_log is missing.*run "twofold schema migrate"'):
        async with opened(database18):
            raise AssertionError("it opened")
    assert await sql(database18, "SELECT 1 FROM pg_namespace WHERE nspname = 'twofold_log'") == []


async def test_a_service_refuses_an_older_schema_and_says_what_mends_it(database18: str) -> None:
    await dataclasses.replace(SCHEMA, steps=SCHEMA.steps[:1]).migrate(database18, SETTINGS)
    expected = f'is at 1, this release needs {SCHEMA.number}.*run "twofold schema migrate"'
    with pytest.raises(UnknownSchemaError, match=expected):
        async with opened(database18):
            raise AssertionError("it opened")


async def test_a_newer_schema_is_refused_by_services_and_left_as_it_is_by_migrations(database18: str) -> None:
    await NEXT.migrate(database18, SETTINGS)
    with pytest.raises(UnknownSchemaError, match="run the release that migrated it"):
        async with opened(database18):
            raise AssertionError("it opened")
    with pytest.raises(UnknownSchemaError, match="run the release that migrated it"):
        await SCHEMA.migrate(database18, SETTINGS)
    assert await state(database18) == (NEXT.number, TABLES | {"note"})


async def test_a_step_that_fails_leaves_nothing_of_itself(database: str) -> None:
    """A bug of ours, so PostgreSQL's error passes as it is; the steps before it stay, and can be gone on from."""
    with pytest.raises(psycopg.errors.DuplicateTable):
        await BROKEN.migrate(database, SETTINGS)
    assert await state(database) == (NEXT.number, TABLES | {"note"})
    assert await NEXT.migrate(database, SETTINGS) == NEXT.number


async def test_a_schema_of_somebody_else_is_left_alone(database18: str) -> None:
    await sql(database18, "CREATE SCHEMA twofold_log CREATE TABLE event (id int)")
    with pytest.raises(ForeignStoreError, match="none of Twofold's"):
        await SCHEMA.migrate(database18, SETTINGS)
    with pytest.raises(ForeignStoreError, match="none of Twofold's"):
        async with opened(database18):
            raise AssertionError("it opened")


async def test_an_empty_schema_that_an_administrator_made_is_used(database18: str) -> None:
    await sql(database18, "CREATE SCHEMA twofold_log")
    assert await SCHEMA.migrate(database18, SETTINGS) == 0
    async with opened(database18) as log:
        assert not await everything(log)


async def test_an_inspection_tells_the_schema_and_changes_nothing(database18: str) -> None:
    missing = await SCHEMA.inspect(database18, SETTINGS)
    assert (missing.exists, missing.schema, missing.known_schema, missing.error) == (False, None, SCHEMA.number, "")
    assert 'run "twofold schema migrate"' in missing.state
    await migrated(database18)
    found = await SCHEMA.inspect(database18, SETTINGS)
    assert (found.exists, found.schema, found.state, found.error) == (True, SCHEMA.number, "up to date", "")
    assert found.size_bytes > 0
    assert found.place.startswith("postgresql://127.0.0.1")


async def test_an_inspection_of_a_server_that_is_not_there_says_so() -> None:
    report = await SCHEMA.inspect("postgresql://nobody@127.0.0.1:1/nothing", Settings(store_timeout_s=0.5))
    assert not report.exists
    assert "no connection" in report.error
    with pytest.raises(StoreUnavailableError):
        await SCHEMA.migrate("postgresql://nobody@127.0.0.1:1/nothing", Settings(store_timeout_s=0.5))


async def test_events_can_not_be_changed_or_deleted_even_by_the_superuser(database: str) -> None:
    async with opened(await migrated(database)) as log:
        await log.append([deposit(A, 0, events=3)])
        for change in ("UPDATE {} SET data = ''", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.RestrictViolation, match="events are never changed or deleted"):
                await sql(database, change.format("twofold_log.event"))
        assert len(await everything(log)) == 3
