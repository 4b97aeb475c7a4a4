"""The Compose file: its shape, its edges, and what it keeps secret."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import FindTool
from tests.unit.deploy.projects import SPLIT, topology_of
from twofold.deploy.compose import compose_files
from twofold.deploy.files import Files
from twofold.deploy.logins import logins_of, missing_secrets
from twofold.deploy.project import ImageNames
from twofold.deploy.topology import Topology
from twofold.settings import Settings

IMAGES = ImageNames(postgres="mine/postgres:15", nginx="mine/nginx:1.22")


def files_of(topology: Topology) -> Files:
    return compose_files(topology, tag="1.4.0-abc", context="..", dockerfile="deploy/Dockerfile", images=IMAGES)


def compose(topology: Topology) -> dict[str, Any]:
    return yaml.safe_load(files_of(topology)["compose.yaml"])


def test_it_has_all_that_a_system_needs(plain: Topology) -> None:
    assert list(compose(plain)["services"]) == [
        "event-log", "read-store", "migrate", "roles", "command", "query", "projector", "gateway",
        "prometheus", "grafana",
    ]  # fmt: skip


def test_images_that_are_not_ours_are_arguments(plain: Topology) -> None:
    services = compose(plain)["services"]
    assert services["event-log"]["image"] == services["read-store"]["image"] == "mine/postgres:15"
    assert services["gateway"]["image"] == "mine/nginx:1.22"


def test_the_tag_is_in_one_place(plain: Topology) -> None:
    files = files_of(plain)
    assert [path for path, text in files.items() if "1.4.0-abc" in text] == [".env"]
    assert compose(plain)["services"]["query"]["image"] == "shop-query:${TAG}"


def test_services_start_when_what_they_need_is_ready(plain: Topology) -> None:
    services = compose(plain)["services"]
    assert services["migrate"]["depends_on"] == {
        "event-log": {"condition": "service_healthy"}, "read-store": {"condition": "service_healthy"},
    }  # fmt: skip
    completed = {"condition": "service_completed_successfully"}
    assert services["roles"]["depends_on"] == {"migrate": completed}
    assert services["command"]["depends_on"] == {"roles": completed}
    assert services["gateway"]["depends_on"] == {
        "command": {"condition": "service_started"}, "query": {"condition": "service_started"},
    }  # fmt: skip


def test_networks_are_the_edges_of_the_flow(topology: Topology) -> None:
    services = compose(topology)["services"]
    networks = {name: set(each["networks"]) for name, each in services.items()}
    for service in topology.services:
        assert ("read" in networks[service.name]) == (service.role != "command")
        assert ("write" in networks[service.name]) == (service.role != "query")
    assert networks["gateway"] == {"front"}
    assert networks["event-log"] == {"write"}
    assert networks["read-store"] == {"read"}


def test_containers_of_ours_can_do_little(topology: Topology) -> None:
    ours = ["migrate", "roles", "gateway", *(each.name for each in topology.services)]
    for name in ours:
        each = compose(topology)["services"][name]
        assert each["user"] == "10001:10001", name
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name


def test_every_container_has_a_limit_and_comes_back(topology: Topology) -> None:
    for name, each in compose(topology)["services"].items():
        assert each["mem_limit"], name
        assert each["restart"] == ("on-failure" if name in ("migrate", "roles") else "always"), name


def test_a_container_has_time_to_drain(split: Topology) -> None:
    assert compose(split)["services"]["flash-sale"]["stop_grace_period"] == "15s"


def test_there_are_as_many_as_is_said_at_least(split: Topology) -> None:
    assert compose(split)["services"]["flash-sale"]["scale"] == 3


def test_environments_are_settings(topology: Topology) -> None:
    for service in topology.services:
        given = compose(topology)["services"][service.name]["environment"]
        known = {name: value for name, value in given.items() if not name.endswith("_FILE") and "INCLUDE" not in name}
        Settings.from_environment(known)
        assert all(value.startswith("/run/secrets/") for name, value in given.items() if name.endswith("_FILE"))


def test_no_file_has_a_secret_and_each_is_mounted_where_it_is_needed(topology: Topology) -> None:
    secrets = missing_secrets(topology, {})
    document = compose(topology)
    assert set(document["secrets"]) == set(secrets)
    passwords = [re.sub(r"^[^:]+://[^:]+:([^@]+)@.*", r"\1", text) for text in secrets.values()]
    assert not [path for path, text in files_of(topology).items() if any(each in text for each in passwords)]
    mounted = {name: set(each.get("secrets", ())) for name, each in document["services"].items()}
    for login in logins_of(topology):
        holders = {name for name, each in mounted.items() if login.secret in each}
        own = (
            {"migrate", "roles"}
            if login.whose == "owner"
            else {each.name for each in topology.services if each.role == login.whose}
        )
        assert holders - {"event-log", "read-store"} == own


def test_secrets_that_are_known_stay(plain: Topology) -> None:
    first = missing_secrets(plain, {})
    assert missing_secrets(plain, first) == {}
    kept = {"event-log-superuser": "known"}
    assert ":known@event-log:5432/shop" in missing_secrets(plain, kept)["owner-event-log"]


def test_logins_are_made_with_the_rights_of_their_role(plain: Topology) -> None:
    text = files_of(plain)["postgres/event-log.sql"]
    assert "CREATE ROLE shop_command LOGIN PASSWORD :'password' IN ROLE twofold_writer;" in text
    assert "shop_query" not in text


def test_the_whole_application_is_described(split: Topology) -> None:
    described = json.loads(files_of(split)["gateway/openapi.json"])
    assert {f"/commands/{each}" for each in split.application.commands} <= set(described["paths"])
    assert {f"/queries/{each}" for each in split.application.queries} <= set(described["paths"])


@pytest.mark.parametrize("text", [SPLIT])
def test_docker_compose_takes_it(text: str, tmp_path: Path, find_tool: FindTool) -> None:
    """Both programs are asked where both are there."""
    topology = topology_of(text, tmp_path)
    for path, content in files_of(topology).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    program = find_tool("docker-compose")
    done = subprocess.run(
        [program, "--file", "compose.yaml", "config", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
