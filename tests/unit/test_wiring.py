import dataclasses
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from examples import shop
from examples.bank import AccountsOf, OpenAccount, app
from examples.shop import orders
from examples.shop.orders import Line
from examples.shop.products import AddProduct
from examples.shop.queries import Countries
from tests.servers.postgres import PostgresServer
from twofold import Settings
from twofold.deploy.project import Project, ServiceSettings
from twofold.deploy.topology import Topology
from twofold.errors import SettingsError, StoreError, WrongServiceError
from twofold.settings import Role
from twofold.wiring import at_rest, connect, included_part, migrate, open_stores

NOWHERE = "postgresql://nobody@127.0.0.1:9/none"
MEMORY = Settings(event_log="memory:")


async def test_only_what_the_setting_includes_runs_and_the_rest_is_another_services() -> None:
    settings = Settings(event_log="memory:", include="Product, SalesPerProduct")
    line = Line(sku="mug", description="a mug", quantity=-1, unit_price=Decimal(1))
    credit_note = orders.IssueCreditNote(credit_note_id="c1", issued_at=datetime.now(UTC), country="IE", lines=[line])
    async with connect(shop.app, settings) as system:
        done = await system.send(AddProduct(sku="mug", name="a mug", price=Decimal(1)))
        await system.settle()
        assert (list(system.progress), done.version) == (["SalesPerProduct"], 1)
        with pytest.raises(WrongServiceError, match=r"has only Product, SalesPerProduct;.*'IssueCreditNote'"):
            await system.send(credit_note)
        with pytest.raises(WrongServiceError, match="the query 'Countries'"):
            await system.ask(Countries())


@pytest.mark.parametrize(
    ("role", "name", "there"),
    [
        (Role.COMMAND, "Ordr", "Product, Order, CreditNote, product, order, creditnote"),
        (Role.COMMAND, "BestSellers", "Product, Order, CreditNote, product, order, creditnote"),
        (Role.QUERY, "Order", ", ".join([*shop.app.queries, *shop.app.read_models])),
        (Role.PROJECTOR, "BestSellers", ", ".join(shop.app.read_models)),
    ],
)
def test_a_name_that_is_nothing_of_the_role_is_refused_with_what_there_is(role: Role, name: str, there: str) -> None:
    with pytest.raises(SettingsError) as mistake:
        included_part(shop.app, Settings(include=name), role)
    assert str(mistake.value) == (
        f"TWOFOLD_INCLUDE='{name}': the role {role} of shop has nothing named '{name}'; nothing was started "
        f"(there is {there})"
    )


def test_the_names_that_deploy_writes_are_those_that_a_service_takes() -> None:
    project = Project(
        Path(),
        services={
            "orders": ServiceSettings(role=Role.COMMAND, include=["Order"]),
            "command": ServiceSettings(role=Role.COMMAND),
            "customers": ServiceSettings(role=Role.QUERY, include=["CustomerHistory", "CustomerById"]),
            "query": ServiceSettings(role=Role.QUERY),
            "sales": ServiceSettings(role=Role.PROJECTOR, include=["SalesPerProduct"]),
            "projector": ServiceSettings(role=Role.PROJECTOR),
        },
    )
    topology = Topology.of("examples.shop:app", shop.app, project, [])
    assert len(topology.services) == 6
    for service in topology.services:
        settings = Settings.from_environment(service.environment)
        part = included_part(shop.app, settings, service.role)
        assert settings.included == service.include
        assert tuple(part.commands) == service.commands or service.role is not Role.COMMAND
        assert tuple(part.queries) == service.queries or service.role is not Role.QUERY
        assert set(part.read_models) == set(service.partitions) or service.role is not Role.PROJECTOR


@pytest.mark.parametrize("role", [Role.COMMAND, Role.QUERY, Role.PROJECTOR])
async def test_a_role_of_its_own_needs_postgresql_and_names_the_setting(role: Role) -> None:
    with pytest.raises(SettingsError, match=f"the role {role} needs PostgreSQL"):
        async with open_stores(Settings(event_log="memory:"), role):
            pass


async def test_a_projector_needs_both_stores_on_postgresql(tmp_path: Path) -> None:
    settings = Settings(event_log=NOWHERE, read_store=f"sqlite:///{tmp_path / 'read.db'}")
    with pytest.raises(SettingsError, match=r"^TWOFOLD_READ_STORE is .*read.db, which serves one process"):
        async with open_stores(settings, Role.PROJECTOR):
            pass


async def test_a_role_has_the_stores_that_it_needs_and_no_others(database18: str) -> None:
    settings = Settings(event_log=database18)
    await migrate(settings)
    had: dict[Role, list[str]] = {}
    for role in Role:
        async with open_stores(settings, role, caller="test") as stores:
            had[role] = [name for name in ("log", "snapshots", "store", "leases", "reader") if getattr(stores, name)]
            assert stores.shared is (role is not Role.COMMAND)
    assert had == {
        Role.ALL: ["log", "snapshots", "store", "leases", "reader"],
        Role.COMMAND: ["log", "snapshots"],
        Role.QUERY: ["reader"],
        Role.PROJECTOR: ["log", "store", "leases"],
    }


async def test_stores_of_one_process_are_not_shared() -> None:
    async with open_stores(Settings(event_log="memory:")) as stores:
        assert not stores.shared


async def test_the_event_log_may_be_on_a_server_and_the_read_store_in_a_file(database18: str, tmp_path: Path) -> None:
    settings = Settings(event_log=database18, read_store=f"sqlite:///{tmp_path / 'read.db'}")
    await migrate(settings)
    async with connect(app, settings) as system:
        done = await system.send(OpenAccount(account_id="a1", owner="ann"))
        assert len(await system.ask(AccountsOf(owner="ann"), after=done.position)) == 1


async def test_event_log_and_read_store_may_be_in_different_databases(
    database18: str, postgres15: PostgresServer
) -> None:
    postgres15.sql("create database only_read")
    try:
        settings = Settings(event_log=database18, read_store=postgres15.url("only_read"))
        await migrate(settings)
        async with connect(app, settings) as system:
            done = await system.send(OpenAccount(account_id="a1", owner="ann"))
            assert len(await system.ask(AccountsOf(owner="ann"), after=done.position)) == 1
        assert postgres15.sql("select count(*) from twofold_read.balance", "only_read") == "1"
    finally:
        postgres15.sql("drop database only_read with (force)")


async def test_only_where_it_is_asked_for_a_user_who_could_change_events_is_refused(database18: str) -> None:
    settings = Settings(event_log=database18)
    await migrate(settings)
    async with connect(app, settings, role=Role.COMMAND):
        """An embedding program is only warned."""
    with pytest.raises(StoreError, match="could change events"):
        async with connect(app, settings, role=Role.COMMAND, strict=True):
            pass


async def test_no_two_systems_have_one_name() -> None:
    settings = Settings(event_log="memory:")
    async with at_rest(app, settings) as one, at_rest(app, settings) as other:
        assert one.holder != other.holder


@pytest.mark.parametrize("missing", ["psycopg", "psycopg.pq"])
def test_without_the_driver_the_command_that_installs_it_is_named(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from twofold.cli import main; main()"
    words = ["events", "count", "examples.bank:app", "--event-log", NOWHERE]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "pip install 'twofold[postgres]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_users_declare_is_imported_without_any_driver() -> None:
    code = "import sys, twofold, twofold.wiring; assert 'psycopg' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- traces ---


@pytest.fixture
def without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "twofold.observability.traces", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)


async def traced(settings: Settings) -> bool:
    async with connect(app, settings) as system:
        return system.tracer is not None


async def test_traces_are_off_unless_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await traced(MEMORY)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert await traced(MEMORY)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not await traced(MEMORY)
    assert not await traced(dataclasses.replace(MEMORY, otlp_endpoint="http://127.0.0.1:9"))


@pytest.mark.usefixtures("without_opentelemetry")
async def test_a_setting_that_asks_for_traces_without_the_extra_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingsError, match=r"TWOFOLD_OTLP_ENDPOINT asks for traces.*pip install 'twofold\[otel\]'"):
        await traced(dataclasses.replace(MEMORY, otlp_endpoint="http://127.0.0.1:9"))


@pytest.mark.usefixtures("without_opentelemetry")
async def test_a_variable_for_every_program_of_a_machine_stops_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with capture_logs() as logs:
        assert not await traced(MEMORY)
    assert [each["event"] for each in logs] == ["no-traces"]


@pytest.mark.parametrize("url", ["collector:4318", "grpc://collector:4317", "http://"])
def test_an_endpoint_for_traces_is_a_url_of_http(url: str) -> None:
    with pytest.raises(SettingsError, match="TWOFOLD_OTLP_ENDPOINT"):
        dataclasses.replace(MEMORY, otlp_endpoint=url).checked()
