"""The application as processes of their own roles on PostgreSQL, and the commands beside them."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import psycopg
import pytest

from examples.bank import OpenAccount, app
from tests.servers.postgres import PostgresServer
from tests.system.cli_process import ROOT, RoleService, environment, twofold, until
from twofold import Settings, connect
from twofold.settings import Role

APP = "examples.bank:app"
Start = Callable[[str], RoleService]
TAKEN_OVER_WITHIN_S = 2.0
"""Of a lease that is given back; one that runs out takes 5 s longer."""


ROLES = {"command": "twofold_writer", "query": "twofold_reader", "projector": "twofold_projector"}


@pytest.fixture
def settings(database18: str, postgres18: PostgresServer) -> dict[str, str]:
    """Of an operator. The database has its schema and roles, and each role of a service a user of its own."""
    settings = {"TWOFOLD_APP": APP, "TWOFOLD_EVENT_LOG": database18}
    twofold("schema", "migrate", cwd=ROOT, settings=settings)
    twofold("schema", "roles", cwd=ROOT, settings=settings)
    known = postgres18.sql("select rolname from pg_roles").splitlines()
    for role, group in ROLES.items():
        if f"a_{role}_service" not in known:
            postgres18.sql(f"create user a_{role}_service in role {group}")
    return settings


def as_service(role: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings of a service of the role."""
    user = f"a_{role}_service" if role in ROLES else "postgres"
    return {**settings, "TWOFOLD_EVENT_LOG": settings["TWOFOLD_EVENT_LOG"].replace("//postgres@", f"//{user}@")}


@pytest.fixture
def start(tmp_path: Path, settings: dict[str, str]) -> Iterator[Start]:
    """Start a service of the role, in a folder of its own, and wait until it is ready."""
    started: list[RoleService] = []

    def start(role: str) -> RoleService:
        folder = tmp_path / f"{role}-{len(started)}"
        own = as_service(role, settings)
        started.append(RoleService.start(["serve", role], cwd=ROOT, folder=folder, settings=own))
        return started[-1]

    yield start
    for service in started:
        service.kill()


def listed(settings: dict[str, str]) -> dict[str, object]:
    (found,) = json.loads(twofold("read-models", "list", "--json", cwd=ROOT, settings=settings).stdout)
    return found


def held_by(service: RoleService) -> bool:
    return 'twofold_partitions_held{read_model="Balance"} 1.0' in httpx.get(f"{service.url}/metrics").text


def opened(command: RoleService, *names: str) -> int:
    """Open these accounts; returns the last position."""
    return [command.send("OpenAccount", account_id=name, owner="ann")["position"] for name in names][-1]


def spoilt(database: str) -> None:
    """Change two rows behind the projector's back, and take one away."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update twofold_read.balance set balance = 7 where account_id in ('a1', 'a2')")
        connection.execute("delete from twofold_read.balance where account_id = 'a3'")


def test_a_database_without_the_schema_is_told_of_made_and_found_well(database18: str) -> None:
    settings = {"TWOFOLD_APP": APP, "TWOFOLD_EVENT_LOG": database18}
    missing = twofold("schema", "status", cwd=ROOT, settings=settings, code=1)
    assert missing.stdout.count('missing: run "twofold schema migrate"') == 2
    looked = twofold("doctor", cwd=ROOT, settings=settings, code=1).stdout
    assert '→ run "twofold schema migrate"' in looked
    several = [
        subprocess.Popen([sys.executable, "-m", "twofold", "schema", "migrate"], cwd=ROOT, env=environment(**settings))
        for _ in range(3)
    ]
    assert [process.wait(30) for process in several] == [0, 0, 0]
    assert twofold("schema", "status", cwd=ROOT, settings=settings).stdout.count("up to date") == 2
    looked = twofold("doctor", cwd=ROOT, settings=settings).stdout
    assert "warn  event log: the user postgres could change events (SUPERUSER" in looked


def test_services_refuse_a_database_without_the_schema_and_name_the_command(database18: str) -> None:
    for role in ("command", "query", "projector", "all"):
        refused = twofold("serve", role, APP, "--event-log", database18, cwd=ROOT, code=4)
        assert 'run "twofold schema migrate"' in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("role", list(ROLES))
def test_a_service_whose_user_could_change_events_is_refused(role: str, settings: dict[str, str]) -> None:
    refused = twofold("serve", role, "--port", "0", cwd=ROOT, settings=settings, code=1)
    assert "could change events" in refused.stderr
    assert f"IN ROLE {ROLES[role]}" in refused.stderr


def test_everything_in_one_process_is_only_warned_about_its_user(start: Start) -> None:
    warned = [line for line in start("all").logged if line["event"] == "postgres-rights"]
    assert warned
    assert "could change events" in warned[0]["reason"]


def test_an_administrator_is_given_the_statements_and_nothing_is_done(
    database18: str, postgres18: PostgresServer
) -> None:
    settings = {"TWOFOLD_APP": APP, "TWOFOLD_EVENT_LOG": database18}
    refused = twofold("schema", "roles", cwd=ROOT, settings=settings, code=1)
    assert 'run "twofold schema migrate"' in refused.stderr
    twofold("schema", "migrate", cwd=ROOT, settings=settings)
    script = twofold("schema", "roles", "--print-sql", cwd=ROOT, settings=settings).stdout
    owner = "select tableowner from pg_tables where schemaname = 'twofold_log' and tablename = 'event'"
    name = database18.rpartition("/")[2]
    assert postgres18.sql(owner, name) == "postgres"
    postgres18.sql(script, name)
    assert postgres18.sql(owner, name) == "twofold_owner"


def test_what_one_service_accepts_another_folds_and_a_third_answers(start: Start) -> None:
    projector, command, query = start("projector"), start("command"), start("query")
    position = opened(command, "a1", "a2")
    assert [row["account_id"] for row in query.ask("AccountsOf", after=position, owner="ann")] == ["a1", "a2"]
    for service, role in ((projector, "projector"), (command, "command"), (query, "query")):
        ready = httpx.get(f"{service.url}/readyz").json()
        assert (ready["status"], ready["role"]) == ("ready", role)
        assert (
            f'twofold_service_info{{application="bank",role="{role}"}} 1.0' in httpx.get(f"{service.url}/metrics").text
        )
    assert held_by(projector)


def test_a_browser_reads_its_own_write_across_services(start: Start) -> None:
    start("projector")
    command, query = start("command"), start("query")
    with httpx.Client() as browser:
        for number in range(20):
            body = {"account_id": f"a{number}", "owner": "ann"}
            assert browser.post(f"{command.url}/commands/OpenAccount", json=body).status_code == 200
            rows = browser.get(f"{query.url}/queries/AccountsOf", params={"owner": "ann"}).json()
            assert len(rows) == number + 1


def test_a_query_service_is_not_ready_before_a_projector_has_made_its_tables(
    tmp_path: Path, settings: dict[str, str], start: Start
) -> None:
    command = [sys.executable, "-m", "twofold", "serve", "query", "--port", "0"]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**as_service("query", settings)), stdout=output, stderr=output, text=True
        )
    query = RoleService(process, tmp_path, tmp_path / "output")
    try:
        until(query.is_listening, "it listens")
        refused = httpx.get(f"{query.url}/readyz")
        assert refused.status_code == 503
        assert "no projector has made its table yet" in refused.json()["reasons"][0]
        asked = httpx.get(f"{query.url}/queries/AccountsOf", params={"owner": "ann"})
        assert (asked.status_code, asked.json()["code"]) == (503, "read-model-not-ready")
        start("projector")
        until(query.is_ready, "the query service is ready once the projector has made the table")
    finally:
        query.kill()


@pytest.mark.parametrize("role", ["command", "query", "projector", "all"])
def test_sigterm_ends_every_role_within_five_seconds(start: Start, role: str) -> None:
    if role == "query":
        start("projector")
    service = start(role)
    assert service.stop() < 5
    assert service.process.returncode == 0
    assert "Traceback" not in service.output.read_text()


def test_a_projector_that_is_told_to_stop_hands_its_partitions_over_at_once(start: Start) -> None:
    one, other = start("projector"), start("projector")
    first, second = (one, other) if held_by(one) else (other, one)
    first.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    until(lambda: held_by(second), "the other has taken over")
    assert time.monotonic() - started < TAKEN_OVER_WITHIN_S
    command, query = start("command"), start("query")
    assert query.ask("AccountsOf", after=opened(command, "a1"), owner="ann")


def test_a_read_model_is_paused_and_resumed_in_the_store(start: Start, settings: dict[str, str]) -> None:
    start("projector")
    command, query = start("command"), start("query")
    query.ask("AccountsOf", after=opened(command, "a1"), owner="ann")
    twofold("read-models", "pause", "Balance", cwd=ROOT, settings=settings)
    until(lambda: listed(settings)["state"] == "paused", "it is paused")
    twofold("read-models", "resume", "Balance", cwd=ROOT, settings=settings)
    assert len(query.ask("AccountsOf", after=opened(command, "a2"), owner="ann")) == 2
    assert listed(settings)["state"] == "running"


def test_rows_that_differ_are_shown_rebuilt_put_back_and_dropped(start: Start, settings: dict[str, str]) -> None:
    start("projector")
    command, query = start("command"), start("query")

    def balances() -> dict[str, str]:
        return {row["account_id"]: row["balance"] for row in query.ask("AccountsOf", owner="ann")}

    query.ask("AccountsOf", after=opened(command, "a1", "a2", "a3", "a4"), owner="ann")
    right = balances()
    spoilt(settings["TWOFOLD_EVENT_LOG"])
    wrong = balances()
    assert wrong != right

    found = twofold("read-models", "rebuild", "Balance", "--compare", "--json", cwd=ROOT, settings=settings, code=1)
    comparison = json.loads(found.stdout)
    assert comparison["differing"] == 3
    assert {row["key"]["account_id"] for row in comparison["rows"]} == {"a1", "a2", "a3"}
    assert next(row for row in comparison["rows"] if row["key"]["account_id"] == "a3")["live"] is None
    assert balances() == wrong, "comparing changes nothing"
    text = twofold("read-models", "rebuild", "Balance", "--compare", cwd=ROOT, settings=settings, code=1).stdout
    assert "account_id='a3': missing from the live rows" in text
    assert "balance Decimal('7') → Decimal('0')" in text

    twofold("read-models", "rebuild", "Balance", cwd=ROOT, settings=settings)
    assert balances() == right
    assert listed(settings)["former"] is True
    twofold("read-models", "rebuild", "Balance", "--compare", cwd=ROOT, settings=settings)
    twofold("read-models", "rebuild", "Balance", "--roll-back", cwd=ROOT, settings=settings)
    assert balances() == wrong
    twofold("read-models", "rebuild", "Balance", cwd=ROOT, settings=settings)
    twofold("read-models", "drop", "Balance", cwd=ROOT, settings=settings)
    assert "former" not in listed(settings)
    for words in (["drop", "Balance"], ["rebuild", "Balance", "--roll-back"]):
        twofold("read-models", *words, cwd=ROOT, settings=settings, code=3)
    assert balances() == right
    assert len(query.ask("AccountsOf", after=opened(command, "a5"), owner="ann")) == 5, "and it goes on"


def rebuilt_so_far(database: str) -> int:
    """Where the rows stand that are folded aside; 0 when none are."""
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute(
            "select position from twofold_read.twofold_checkpoints() where read_model = 'Balance~rebuild'"
        ).fetchone()
    return found[0] if found else 0


def test_a_rebuild_that_was_killed_goes_on_where_it_was(settings: dict[str, str], start: Start) -> None:
    database = settings["TWOFOLD_EVENT_LOG"]
    asyncio.run(many_accounts(database))
    own = {**settings, "TWOFOLD_PAGE_SIZE": "50"}
    command = [sys.executable, "-m", "twofold", "read-models", "rebuild", "Balance"]
    first = subprocess.Popen(command, cwd=ROOT, env=environment(**own))
    until(lambda: rebuilt_so_far(database) > 500, "it has done some of it")
    first.kill()
    first.wait()
    reached = rebuilt_so_far(database)
    assert reached < MANY

    again = subprocess.Popen(command, cwd=ROOT, env=environment(**own), stdout=subprocess.PIPE, text=True)
    seen: list[int] = []
    while again.poll() is None:
        seen.append(rebuilt_so_far(database))
    assert again.stdout
    with again.stdout:
        assert again.stdout.read() == f"Balance is rebuilt up to position {MANY}\n"
    assert again.returncode == 0
    assert min(position for position in seen if position) >= reached, "nothing was folded twice"
    twofold("read-models", "rebuild", "Balance", "--compare", cwd=ROOT, settings=settings)


MANY = 20_000


async def many_accounts(database: str) -> None:
    async with connect(app, Settings(event_log=database), role=Role.COMMAND) as system:
        for at in range(0, MANY, 1_000):
            commands = [OpenAccount(account_id=f"a{number}", owner="ann") for number in range(at, at + 1_000)]
            await asyncio.gather(*map(system.send, commands))


def test_a_gap_in_the_positions_is_found(start: Start, settings: dict[str, str]) -> None:
    opened(start("command"), "a1", "a2", "a3")
    assert "dense" not in twofold("doctor", cwd=ROOT, settings=settings).stdout
    with psycopg.connect(settings["TWOFOLD_EVENT_LOG"], autocommit=True) as connection:
        connection.execute("alter table twofold_log.event disable trigger user")
        connection.execute("delete from twofold_log.event where position = 2")
    shown = twofold("doctor", cwd=ROOT, settings=settings, code=1).stdout
    assert "holds 2 events at positions 1 to 3: they are not dense" in shown


def test_operators_look_at_the_stores_beside_the_services(start: Start, settings: dict[str, str]) -> None:
    start("projector")
    opened(start("command"), "a1")
    shown = twofold("doctor", cwd=ROOT, settings=settings).stdout
    assert "event log: PostgreSQL 18" in shown
    assert "fail" not in shown
    assert twofold("events", "count", cwd=ROOT, settings=settings).stdout == "1 events\n"
    (line,) = twofold("events", "tail", "--json", cwd=ROOT, settings=settings).stdout.splitlines()
    assert json.loads(line)["stream"] == "account-a1"
    assert "AccountOpened" in twofold("events", "show", "account-a1", cwd=ROOT, settings=settings).stdout
    assert twofold("schema", "status", cwd=ROOT, settings=settings).stdout.count("up to date") == 2
