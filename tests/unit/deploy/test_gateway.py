"""The gateway's configuration: where it sends what, and what it tries again."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import FindTool
from twofold.deploy.gateway import Platform, nginx_conf
from twofold.deploy.topology import Topology
from twofold.settings import Role


def routes(text: str, variable: str) -> dict[str, str]:
    (block,) = re.findall(rf"map \$uri \${variable} {{\n(.*?)\n    }}", text, re.DOTALL)
    return dict(re.findall(r'"?([^\s"]+)"? (\S+);', block))


def test_each_command_and_query_goes_to_the_service_that_has_it(split: Topology) -> None:
    text = nginx_conf(split, Platform.COMPOSE)
    commands = routes(text, "command_service")
    for service in split.of_role(Role.COMMAND):
        for name in service.commands:
            assert commands.get(f"/commands/{name}", commands["default"]) == service.name
    queries = routes(text, "query_service")
    for service in split.of_role(Role.QUERY):
        for name in service.queries:
            assert queries.get(f"/queries/{name}", queries["default"]) == service.name


def test_on_compose_replicas_are_looked_up_every_second(plain: Topology) -> None:
    text = nginx_conf(plain, Platform.COMPOSE)
    assert "resolver 127.0.0.11 valid=1s" in text
    assert "proxy_pass http://$command_service:8000;" in text
    assert "    upstream " not in text


def test_on_kubernetes_connections_to_services_are_kept(split: Topology) -> None:
    text = nginx_conf(split, Platform.KUBERNETES)
    assert "resolver" not in text
    assert re.findall(r"upstream (\S+) {", text) == [
        f"shop-{each.name}" for each in split.services if each.role != "projector"
    ]
    (tries,) = re.findall(r"proxy_next_upstream_tries (\d+);", text)
    first = f"server shop-{split.services[0].name}:"
    assert text.count(first) == int(tries), "nginx tries a server once, and the one address leads to any pod"
    assert "proxy_pass http://$command_service;" in text


@pytest.mark.parametrize("platform", Platform)
def test_commands_have_an_id_before_they_are_tried_again(topology: Topology, platform: Platform) -> None:
    text = nginx_conf(topology, platform)
    assert 'map $http_idempotency_key $command_id {\n        "" gateway-$request_id;' in text
    (location,) = re.findall(r"location /commands/ {(.*?)\n        }", text, re.DOTALL)
    assert "proxy_set_header Idempotency-Key $command_id;" in location
    assert "proxy_next_upstream error timeout http_502 http_503 non_idempotent;" in text
    assert "proxy_next_upstream_tries 5;" in text


@pytest.mark.parametrize("platform", Platform)
def test_headers_of_all_are_said_again_where_commands_add_theirs(plain: Topology, platform: Platform) -> None:
    text = nginx_conf(plain, platform)
    head, _, rest = text.partition("server {")
    of_all = set(re.findall(r"proxy_set_header .*;", head))
    (location,) = re.findall(r"location /commands/ {(.*?)\n        }", rest, re.DOTALL)
    assert of_all < set(re.findall(r"proxy_set_header .*;", location))


@pytest.mark.parametrize("platform", Platform)
def test_nginx_takes_it(topology: Topology, platform: Platform, tmp_path: Path, find_tool: FindTool) -> None:
    path = tmp_path / "nginx.conf"
    # On Kubernetes nginx looks the services up when it starts; there are none here.
    path.write_text(re.sub(r"server shop-[\w-]+:", "server 127.0.0.1:", nginx_conf(topology, platform)))
    nginx = find_tool("nginx", "/usr/sbin/nginx")
    done = subprocess.run([nginx, "-t", "-e", "stderr", "-c", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
