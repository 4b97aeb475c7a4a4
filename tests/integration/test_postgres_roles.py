"""Roles of PostgreSQL: each service can do what it must, and none can change events."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.integration.postgres_logs import SETTINGS, A, deposit, everything, migrated, sql
from tests.servers.postgres import PostgresServer
from twofold.errors import StoreError, StoreNotWritableError
from twofold.ports import Appended, Snapshot
from twofold.stores.postgres.connections import Connections
from twofold.stores.postgres.event_log import SCHEMA, PostgresEventLog
from twofold.stores.postgres.grants import check_rights, make_roles, roles_script
from twofold.stores.postgres.read_store import SCHEMA as READ_SCHEMA
from twofold.stores.postgres.schema import act_as_owner
from twofold.streams import Position

MakeUser = Callable[..., str]

FORBIDDEN = [
    "INSERT INTO twofold_log.event VALUES (9, 0, 9, 1, 'account-a', 'Deposited', '{}', '{}')",
    "UPDATE twofold_log.event SET data = '{}'",
    "UPDATE twofold_log.event SET recorded_at = 0 WHERE position = 1",
    "DELETE FROM twofold_log.event",
    "TRUNCATE twofold_log.event",
    "MERGE INTO twofold_log.event USING (SELECT 1 AS n) AS s ON position = n WHEN MATCHED THEN DELETE",
    "COPY twofold_log.event FROM STDIN",
    "ALTER TABLE twofold_log.event DISABLE TRIGGER ALL",
    "ALTER TABLE twofold_log.event ADD COLUMN note text",
    "ALTER TABLE twofold_log.event OWNER TO current_user",
    "DROP TABLE twofold_log.event",
    "DROP SCHEMA twofold_log CASCADE",
    "CREATE TABLE twofold_log.note (text text)",
    "CREATE TRIGGER note BEFORE INSERT ON twofold_log.event EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE note AS ON INSERT TO twofold_log.event DO INSTEAD NOTHING",
    "SELECT FROM twofold_log.event FOR UPDATE",
    "LOCK TABLE twofold_log.event IN EXCLUSIVE MODE",
    "INSERT INTO twofold_log.command VALUES ('c', 1, 1, 1, 'account-a', '')",
    "UPDATE twofold_log.command SET position = 0",
    "DELETE FROM twofold_log.command",
    "TRUNCATE twofold_log.command",
    "SELECT FROM twofold_log.head FOR UPDATE",
    "DELETE FROM twofold_log.head",
    "DELETE FROM twofold_log.twofold_migration",
    "INSERT INTO twofold_log.twofold_migration VALUES (99)",
    "SELECT twofold_log.append_some('{}', '', '', false, 0)",
    "DROP FUNCTION twofold_log.append",
    "ALTER FUNCTION twofold_log.append SECURITY INVOKER",
    "CREATE OR REPLACE FUNCTION twofold_log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS ''",
    "SET ROLE twofold_owner",
    "SET SESSION AUTHORIZATION postgres",
    "SET session_replication_role = replica",
]
FORBIDDEN_BESIDES = {
    "twofold_writer": ["SELECT * FROM twofold_read.twofold_checkpoint", "CREATE TABLE twofold_read.note (text text)"],
    "twofold_projector": [
        "SELECT * FROM twofold_log.append('{}', '', '', false)",
        "SELECT * FROM twofold_log.command",
        "DELETE FROM twofold_log.snapshot",
        "SELECT * FROM twofold_log.snapshot",
    ],
    "twofold_reader": [
        "SELECT * FROM twofold_log.event",
        "SELECT * FROM twofold_log.append('{}', '', '', false)",
        "SELECT * FROM twofold_log.snapshot",
        "UPDATE twofold_read.twofold_checkpoint SET position = 0",
        "DELETE FROM twofold_read.twofold_checkpoint",
        "TRUNCATE twofold_read.twofold_checkpoint",
        "CREATE TABLE twofold_read.note (text text)",
        "DROP SCHEMA twofold_read CASCADE",
        "SET ROLE twofold_projector",
    ],
}
SERVICES = {"twofold_writer": "command", "twofold_reader": "query", "twofold_projector": "projector"}


@pytest.fixture
async def stores(database: str) -> str:
    """A database with both stores, an event in it, and roles."""
    await READ_SCHEMA.migrate(await migrated(database), SETTINGS)
    async with PostgresEventLog.open(database, settings=SETTINGS, role="test") as log:
        await log.append([deposit(A, 0, command_id="first")])
    assert await make_roles(database, SETTINGS) == ("twofold_log", "twofold_read")
    return database


async def test_roles_are_made_again_beside_services_at_work(stores: str) -> None:
    """They hold every table, as a release is rolled out under load: who waited for them would lock others out."""
    async with await psycopg.AsyncConnection.connect(stores) as service:
        await service.execute("SELECT FROM twofold_log.event, twofold_log.snapshot, twofold_read.twofold_checkpoint")
        async with asyncio.timeout(10):
            assert await make_roles(stores, SETTINGS) == ("twofold_log", "twofold_read")


@pytest.fixture
def make_user(postgres: PostgresServer) -> Iterator[MakeUser]:
    """Makes a login user and returns its name."""
    made: list[str] = []

    def make(role: str = "", options: str = "") -> str:
        name = f"user_{uuid4().hex}"
        membership = f"IN ROLE {role}" if role else ""
        postgres.sql(f"CREATE ROLE {name} LOGIN {options} {membership}")
        made.append(name)
        return name

    yield make
    for name in made:
        postgres.sql(f"DROP OWNED BY {name}")
        postgres.sql(f"DROP ROLE {name}")


def as_user(url: str, user: str) -> str:
    return url.replace("postgres@", f"{user}@")


@pytest.mark.parametrize("role", SERVICES)
async def test_nothing_that_changes_events_succeeds_as_any_role(stores: str, make_user: MakeUser, role: str) -> None:
    before = await sql(stores, "SELECT * FROM twofold_log.event, twofold_log.command, twofold_log.twofold_migration")
    succeeded: list[str] = []
    url = as_user(stores, make_user(role))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        with suppress(psycopg.errors.InsufficientPrivilege):
            await connection.execute("GRANT ALL ON twofold_log.event TO current_user")  # a warning and no error
        for statement in FORBIDDEN + FORBIDDEN_BESIDES[role]:
            try:
                async with connection.transaction():
                    if statement.startswith("COPY"):
                        async with connection.cursor().copy(statement.encode()):
                            pass
                    else:
                        await connection.execute(statement.encode())
                succeeded.append(statement)
            except psycopg.errors.InsufficientPrivilege:
                pass
    assert succeeded == []
    after = await sql(stores, "SELECT * FROM twofold_log.event, twofold_log.command, twofold_log.twofold_migration")
    assert before == after
    assert await rights(url) == ""


async def test_a_writer_appends_reads_and_keeps_snapshots(stores: str, make_user: MakeUser) -> None:
    url = as_user(stores, make_user("twofold_writer"))
    async with PostgresEventLog.open(url, settings=SETTINGS, role="command") as log:
        assert await log.append([deposit(A, 1, command_id="c")]) == [Appended(2, Position(2))]
        assert [each.version for each in await everything(log)] == [1, 2]
        for version in (1, 2):
            await log.save_snapshots({A: Snapshot(version, "f", b"{}")})
        assert (await log.load_snapshots([A]))[A].version == 2
        assert await log.wait(Position(1), 5)


async def test_a_projector_reads_events_and_owns_what_it_makes(stores: str, make_user: MakeUser) -> None:
    url = as_user(stores, make_user("twofold_projector"))
    async with PostgresEventLog.open(url, settings=SETTINGS, role="projector", writable=False) as log:
        assert [each.version for each in await everything(log)] == [1]
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await act_as_owner(connection, "twofold_read")
        await connection.execute("CREATE TABLE twofold_read.balance (account_id text)")
    owner = await sql(stores, "SELECT tableowner FROM pg_tables WHERE tablename = 'balance'")
    assert owner == [("twofold_projector",)]
    other, reader = make_user("twofold_projector"), make_user("twofold_reader")
    await sql(as_user(stores, other), "INSERT INTO twofold_read.balance VALUES ('a')")
    assert await sql(as_user(stores, reader), "SELECT account_id FROM twofold_read.balance") == [("a",)]


async def test_an_append_without_the_right_says_what_to_do(stores: str, make_user: MakeUser) -> None:
    url = as_user(stores, make_user("twofold_projector"))
    async with PostgresEventLog.open(url, settings=SETTINGS, role="projector") as log:
        with pytest.raises(StoreNotWritableError, match="twofold schema roles"):
            await log.append([deposit(A, 1)])


# --- the check at start ---


async def rights(url: str, role: str = "command") -> str:
    """What the check says; nothing when all is well."""
    opening = Connections.open(url, label="event log", settings=SETTINGS, role=role, component="check", size=1)
    async with opening as connections, connections.lend() as connection:
        try:
            await check_rights(connection, role)
        except StoreError as error:
            return str(error)
    return ""


async def test_users_of_the_roles_pass_the_check(stores: str, make_user: MakeUser) -> None:
    for role, service in SERVICES.items():
        assert await rights(as_user(stores, make_user(role)), service) == ""
    assert await rights(as_user(stores, make_user())) == ""


async def test_a_superuser_is_found(stores: str) -> None:
    text = await rights(stores)
    assert "the user postgres of this command service could change events (SUPERUSER, OWNER, INSERT" in text
    assert "twofold schema roles" in text
    assert "IN ROLE twofold_writer" in text


async def test_the_owner_is_found_also_where_it_must_become_one_first(stores: str, make_user: MakeUser) -> None:
    assert "(OWNER, INSERT, UPDATE, DELETE, TRUNCATE)" in await rights(as_user(stores, make_user("twofold_owner")))
    reluctant = make_user("twofold_owner", "NOINHERIT")
    assert "(OWNER, INSERT, UPDATE, DELETE, TRUNCATE)" in await rights(as_user(stores, reluctant))


@pytest.mark.parametrize(
    ("grant", "found"),
    [
        ("GRANT INSERT ON twofold_log.event TO {}", "INSERT"),
        ("GRANT UPDATE (data) ON twofold_log.event TO {}", "UPDATE"),
        ("GRANT DELETE ON twofold_log.event TO {}", "DELETE"),
        ("GRANT TRUNCATE ON twofold_log.event TO {}", "TRUNCATE"),
        ("GRANT pg_write_all_data TO {}", "INSERT, UPDATE, DELETE"),
    ],
)
async def test_each_right_to_change_events_is_found(stores: str, make_user: MakeUser, grant: str, found: str) -> None:
    user = make_user("twofold_writer")
    await sql(stores, grant.format(user))
    assert f"({found})" in await rights(as_user(stores, user))
    if "ON" in grant:
        await sql(stores, f"REVOKE ALL ON twofold_log.event FROM {user}")


@pytest.mark.parametrize("service", ["command", "query", "projector"])
async def test_a_service_refuses_to_start_when_it_could_change_events(stores: str, service: str) -> None:
    with pytest.raises(StoreError, match="could change events"):
        async with PostgresEventLog.open(stores, settings=SETTINGS, role=service):
            raise AssertionError("it started")


async def test_everything_in_one_process_only_warns(stores: str) -> None:
    with capture_logs() as logs:
        async with PostgresEventLog.open(stores, settings=SETTINGS, role="all"):
            pass
    (warning,) = [entry for entry in logs if entry["event"] == "postgres-rights"]
    assert warning["log_level"] == "warning"


# --- making them ---


async def test_roles_are_made_again_without_change(stores: str, make_user: MakeUser) -> None:
    url = as_user(stores, make_user("twofold_writer"))
    await make_roles(stores, SETTINGS)
    async with PostgresEventLog.open(url, settings=SETTINGS, role="command") as log:
        assert await log.append([deposit(A, 1)]) == [Appended(2, Position(2))]


async def test_the_script_does_the_same_in_psql(database: str, postgres: PostgresServer, make_user: MakeUser) -> None:
    await READ_SCHEMA.migrate(await migrated(database), SETTINGS)
    for _ in range(2):
        postgres.sql(roles_script(), database.rpartition("/")[2])
    url = as_user(database, make_user("twofold_writer"))
    async with PostgresEventLog.open(url, settings=SETTINGS, role="command") as log:
        assert await log.append([deposit(A, 0)]) == [Appended(1, Position(1))]


async def test_a_user_that_may_make_roles_needs_not_be_a_superuser(
    database: str, postgres: PostgresServer, make_user: MakeUser
) -> None:
    deployer = make_user("", "CREATEROLE")
    postgres.sql(f"GRANT CREATE ON DATABASE {database.rpartition('/')[2]} TO {deployer}")
    for role in ("twofold_owner", "twofold_projector"):  # roles are of the whole server: others have made them already
        postgres.sql(f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        postgres.sql(f"GRANT {role} TO {deployer} WITH ADMIN OPTION")
    url = as_user(database, deployer)
    await migrated(url)
    assert await make_roles(url, SETTINGS) == ("twofold_log",)
    assert await SCHEMA.migrate(url, SETTINGS) == SCHEMA.number
    async with PostgresEventLog.open(
        as_user(database, make_user("twofold_writer")), settings=SETTINGS, role="command"
    ) as log:
        assert await log.append([deposit(A, 0)]) == [Appended(1, Position(1))]
    postgres.sql(f"REASSIGN OWNED BY {deployer} TO postgres", database.rpartition("/")[2])
    postgres.sql(f"DROP OWNED BY {deployer}", database.rpartition("/")[2])


async def test_a_user_without_the_right_to_make_roles_is_told(database: str, make_user: MakeUser) -> None:
    await migrated(database)
    with pytest.raises(StoreError, match="may not do that"):
        await make_roles(as_user(database, make_user()), SETTINGS)
