"""Every command, query and read model is in exactly one service."""

from pathlib import Path

import pytest

from examples import shop
from tests.unit.deploy.projects import PLAIN, SPLIT, topology_of
from twofold import Application
from twofold.deploy.topology import Topology
from twofold.errors import SettingsError
from twofold.settings import Role


def included(topology: Topology) -> dict[str, tuple[str, ...]]:
    return {each.name: each.include for each in topology.services}


def test_without_services_there_is_one_for_each_role(plain: Topology) -> None:
    assert included(plain) == {"command": (), "query": (), "projector": ()}
    assert plain.services[0].commands == tuple(shop.app.commands)
    assert plain.services[1].queries == tuple(shop.app.queries)
    assert set(plain.services[2].partitions) == set(shop.app.read_models)


def test_what_no_service_includes_falls_to_the_one_that_says_no_include(split: Topology) -> None:
    found = included(split)
    assert found["flash-sale"] == ("Product",)
    assert found["back-office"] == ("Order", "CreditNote")
    assert found["folding"] == ()
    queries = {each.name: set(each.queries) for each in split.of_role(Role.QUERY)}
    assert queries["reports"] == {"SalesOfProduct", "Sales", "BestSellers", "Countries"}
    assert queries["reports"] | queries["storefront"] == set(shop.app.queries)
    assert not queries["reports"] & queries["storefront"]


def test_a_service_that_includes_something_says_so_to_its_processes(split: Topology) -> None:
    environment = {each.name: each.environment.get("TWOFOLD_INCLUDE") for each in split.services}
    assert environment["flash-sale"] == "Product"
    assert environment["back-office"] == "Order,CreditNote"
    assert environment["folding"] is None


def test_settings_of_a_service_come_on_top_of_those_of_all(split: Topology) -> None:
    (flash_sale,) = [each for each in split.services if each.name == "flash-sale"]
    assert flash_sale.environment == {
        "TWOFOLD_APPEND_BATCH_SIZE": "512",
        "TWOFOLD_DRAIN_TIMEOUT_S": "8.5",
        "TWOFOLD_INCLUDE": "Product",
        "TWOFOLD_LOG_LEVEL": "warning",
        "TWOFOLD_POSITION_COOKIE": "false",
    }
    assert flash_sale.settings.append_batch_size == 512


def test_a_service_has_more_time_to_stop_than_draining_takes(split: Topology) -> None:
    assert all(each.stop_s >= 8.5 + 5 for each in split.services)


def test_projectors_are_no_more_than_their_partitions(plain: Topology) -> None:
    (projector,) = plain.of_role(Role.PROJECTOR)
    assert projector.replicas.max == 10
    assert projector.most_useful == len(shop.app.read_models) == 5


SERVICE = "[tool.twofold.services.{name}]\nrole = '{role}'\n{rest}\n"


def services(*each: tuple[str, str, str]) -> str:
    return PLAIN + "".join(SERVICE.format(name=name, role=role, rest=rest) for name, role, rest in each)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (services(("a", "command", "include=['Product']")), "Order is in no command service"),
        (
            services(("a", "command", "include=['Product']"), ("b", "command", "include=['Product', 'Order']")),
            "Product is in a and b",
        ),
        (services(("a", "query", ""), ("b", "query", "")), "a and b both take the rest of role query"),
        (
            services(("a", "command", "include=['Ordr']"), ("b", "command", "")),
            "a command service can't include 'Ordr'; did you mean Order?",
        ),
        (
            services(("a", "command", "include=['SalesPerProduct']"), ("b", "command", "")),
            "a command service can't include 'SalesPerProduct'",
        ),
        (services(("a", "command", "settings={page_siez=1}")), "did you mean TWOFOLD_PAGE_SIZE?"),
        (services(("a", "command", "settings={page_size=0}")), "must be more than 0"),
        (services(("a", "command", "settings={event_log='postgresql://ann:secret@db/shop'}")), "event_log is secret"),
        (services(("a", "command", "settings={http_port=80}")), "http_port is secret or made by twofold deploy"),
    ],
)
def test_services_that_leave_a_gap_or_overlap_are_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as mistake:
        topology_of(text, tmp_path)
    assert complaint in str(mistake.value)
    assert "ann:secret" not in str(mistake.value)


def test_a_role_that_the_services_leave_out_is_a_service_too(tmp_path: Path) -> None:
    found = topology_of(services(("sale", "command", "")), tmp_path)
    assert list(included(found)) == ["sale", "query", "projector"]


def test_a_role_without_components_is_no_service(tmp_path: Path) -> None:
    aggregates = Application("shop", [each.cls for each in shop.app.aggregates.values()])
    assert list(included(topology_of(PLAIN, tmp_path, app=aggregates))) == ["command"]


def test_a_taker_with_nothing_left_to_take_is_no_service(tmp_path: Path) -> None:
    every = [each.cls.__name__ for each in shop.app.aggregates.values()]
    found = topology_of(services(("a", "command", f"include={every}"), ("b", "command", "")), tmp_path)
    assert [each.name for each in found.of_role(Role.COMMAND)] == ["a"]


@pytest.mark.parametrize(("name", "label"), [("shop", "shop"), ("Web Shop 2", "web-shop-2"), ("a" * 60, "a" * 24)])
def test_names_begin_with_the_application_s(name: str, label: str, tmp_path: Path) -> None:
    found = topology_of(PLAIN, tmp_path, app=Application(name, [each.cls for each in shop.app.aggregates.values()]))
    assert found.name == label


def test_a_name_that_can_not_begin_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"give \[tool\.twofold\.deploy\] name"):
        topology_of(PLAIN, tmp_path, app=Application("1", [each.cls for each in shop.app.aggregates.values()]))


def test_images_are_named_by_registry_application_and_role(plain: Topology, tmp_path: Path) -> None:
    assert plain.image(Role.QUERY) == "shop-query"
    assert topology_of(SPLIT, tmp_path).image(Role.QUERY) == "registry.example.com/team/shop-query"
