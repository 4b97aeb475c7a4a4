"""The gateway: nginx, which sends each command and query to the service that has it.

On Compose it asks Docker's DNS anew every second, so it knows all replicas after scaling, and tries another one itself.
On Kubernetes a Service has one address that never changes, behind which the cluster balances; it stands twice in the
list, so that there is another to try.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from twofold.deploy.files import mark
from twofold.deploy.templates import filled
from twofold.deploy.topology import HTTP_PORT, Service, Topology
from twofold.http.headers import MAX_WAIT_S
from twofold.http.openapi import describe
from twofold.settings import Role

__all__ = ["FOLDER", "GATEWAY_PORT", "Platform", "host_of", "nginx_conf", "openapi_json"]

GATEWAY_PORT = 8080
FOLDER = "/etc/twofold"
"""Where its files are in its container."""

_ANSWER_S = 5
_TRIES = 5
"""How often a request is sent in all, while what it was sent to does not answer."""


class Platform(Enum):
    """What the services run on."""

    COMPOSE = "compose"
    KUBERNETES = "kubernetes"


def nginx_conf(topology: Topology, platform: Platform) -> str:
    """The whole configuration, for a user that is not root and a file system that is read-only but for /tmp."""
    settings = [each.settings for each in topology.services]
    command_s = max(each.store_timeout_s for each in settings) * 2 + _ANSWER_S
    query_s = max(each.query_timeout_s for each in settings) + MAX_WAIT_S + _ANSWER_S
    on_compose = platform is Platform.COMPOSE
    return filled(
        "nginx.conf.tmpl",
        mark=mark(platform.value),
        max_body_bytes=str(max(each.http_max_body_bytes for each in settings)),
        routes="\n".join(_routes(topology, platform)),
        upstreams=_RESOLVER if on_compose else "\n".join(_upstreams(topology)),
        connection="close" if on_compose else "",
        address=f":{HTTP_PORT}" if on_compose else "",
        port=str(GATEWAY_PORT),
        tries=str(_TRIES),
        command_timeout_s=f"{command_s:.0f}",
        query_timeout_s=f"{query_s:.0f}",
        folder=FOLDER,
    )


def openapi_json(topology: Topology) -> str:
    """The whole application's description: each service knows only its own part."""
    return msgspec.json.format(msgspec.json.encode(describe(topology.application)), indent=1).decode() + "\n"


_RESOLVER = """\
    resolver 127.0.0.11 valid=1s ipv6=off;
    resolver_timeout 2s;
"""


def _routes(topology: Topology, platform: Platform) -> Iterator[str]:
    for role in (Role.COMMAND, Role.QUERY):
        services = topology.of_role(role)
        paths = {
            f"/{'commands' if role is Role.COMMAND else 'queries'}/{name}": host_of(topology, service, platform)
            for service in services[1:]
            for name in (service.commands or service.queries)
        }
        yield from _map(
            f"${role.value}_service", paths, host_of(topology, services[0], platform) if services else "none"
        )
    yield from _map("$docs_service", {}, host_of(topology, topology.services[0], platform))


def _map(variable: str, paths: Mapping[str, str], default: str) -> Sequence[str]:
    """Names that nobody has go to the first service: it answers which one was meant."""
    entries = [f'        "{path}" {service};' for path, service in sorted(paths.items())]
    return [f"    map $uri {variable} {{", *entries, f"        default {default};", "    }"]


def host_of(topology: Topology, service: Service, platform: Platform) -> str:
    """The name by which others reach the service."""
    return service.name if platform is Platform.COMPOSE else f"{topology.name}-{service.name}"


def _upstreams(topology: Topology) -> Iterator[str]:
    """The one address of a service leads to any of its pods, also to one that has just died: it is listed once for each
    try, since nginx tries a server once."""
    for service in topology.services:
        if service.role is not Role.PROJECTOR:
            host = host_of(topology, service, Platform.KUBERNETES)
            server = f"server {host}:{HTTP_PORT} max_fails=0;"
            lines = (*[server] * _TRIES, "keepalive 64;", "keepalive_requests 200;")
            yield "\n".join([f"    upstream {host} {{", *(f"        {line}" for line in lines), "    }"])
