"""A Compose file that `docker compose` and docker-compose 1.29 both take: the whole system on one machine.

Networks are the edges of the flow: the query service can't reach the event log, nor the command service the read store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twofold.deploy.dockerfile import USER
from twofold.deploy.files import Files, mark
from twofold.deploy.gateway import FOLDER, GATEWAY_PORT, Platform, nginx_conf, openapi_json
from twofold.deploy.logins import OWNER, SERVERS, database_of, init_files, logins_of, superuser_secret
from twofold.deploy.manifest import Tree, to_yaml
from twofold.deploy.project import ImageNames
from twofold.deploy.templates import filled
from twofold.deploy.topology import HTTP_PORT, UNKNOWN_SCHEMA_EXIT, Service, Topology
from twofold.settings import Role, variable_of

__all__ = ["compose_files"]

_DATA = "/var/lib/twofold"
_SECRETS = "/run/secrets"
_NETWORKS: Mapping[Role, tuple[str, ...]] = {
    Role.COMMAND: ("front", "write"),
    Role.QUERY: ("front", "read"),
    Role.PROJECTOR: ("write", "read"),
}
_CPU_SHARES: Mapping[Role, int] = {Role.COMMAND: 2048, Role.PROJECTOR: 1024, Role.QUERY: 512}
"""Of a machine that is full; 1024 is Docker's default, which the databases have."""

_COMPLETED: Tree = {"condition": "service_completed_successfully"}
_HEALTHY_SERVERS: Tree = {server: {"condition": "service_healthy"} for server in SERVERS.values()}
_SERVER_NETWORKS = {"event-log": "write", "read-store": "read"}


def compose_files(topology: Topology, *, tag: str, context: str, dockerfile: str, images: ImageNames) -> Files:
    """Files by path in the output folder. `context` is the project's folder as seen from it, `dockerfile` seen from
    there."""
    build = {"context": context, "dockerfile": dockerfile}
    comment = f"{mark('compose')}\nThe secrets are files in secrets/, made once; they are not for Git."
    document: Tree = {
        "services": {
            **{name: _postgres(topology, name, images) for name in SERVERS.values()},
            "migrate": _schema(topology, "migrate", build, after=_HEALTHY_SERVERS),
            "roles": _schema(topology, "roles", build, after={"migrate": _COMPLETED}),
            **{each.name: _service(topology, each, build) for each in topology.services},
            "gateway": _gateway(topology, images),
            **_monitoring(images),
        },
        "networks": {"front": None, "write": {"internal": True}, "read": {"internal": True}},
        "volumes": dict.fromkeys((*SERVERS.values(), "prometheus", "grafana")),
        "secrets": {name: {"file": f"./secrets/{name}"} for name in _secret_names(topology)},
    }
    return {
        "compose.yaml": to_yaml(document, comment=comment),
        ".env": f"# {mark('compose')}\nCOMPOSE_PROJECT_NAME={topology.name}\nTAG={tag}\nPORT={GATEWAY_PORT}\n",
        ".gitignore": f"# {mark('compose')}\n/secrets/\n",
        "roll.sh": _roll(topology),
        "gateway/nginx.conf": nginx_conf(topology, Platform.COMPOSE),
        "gateway/openapi.json": openapi_json(topology),
        **{f"postgres/{name}": text for name, text in init_files(topology, secrets_folder=_SECRETS)},
    }


def _roll(topology: Topology) -> str:
    """Services that only read events go first, so that they know a new event before there is one."""
    order = (*topology.of_role(Role.PROJECTOR), *topology.of_role(Role.QUERY), *topology.of_role(Role.COMMAND))
    return filled(
        "roll.sh.tmpl",
        mark=mark("compose"),
        name=topology.name,
        stop_s=str(max(each.stop_s for each in order)),
        services=" ".join(each.name for each in order),
        images=" ".join(topology.image(role) for role in topology.roles),
        unknown_schema=str(UNKNOWN_SCHEMA_EXIT),
    )


def _secret_names(topology: Topology) -> Iterator[str]:
    yield from map(superuser_secret, SERVERS.values())
    yield from (login.secret for login in logins_of(topology))


def _postgres(topology: Topology, server: str, images: ImageNames) -> dict[str, Tree]:
    logins = [login.secret for login in logins_of(topology) if login.server == server and login.group]
    superuser = superuser_secret(server)
    return {
        "image": images.postgres,
        "command": ["postgres", "-c", "max_connections=300"],
        "environment": {
            "POSTGRES_DB": database_of(topology),
            "POSTGRES_PASSWORD_FILE": f"{_SECRETS}/{superuser}",
            "PGDATA": f"{_DATA}/data",
        },
        "secrets": [superuser, *logins],
        "volumes": [
            f"{server}:{_DATA}",
            f"./postgres/{server}.sql:/docker-entrypoint-initdb.d/logins.sql:ro",
        ],
        "networks": [_SERVER_NETWORKS[server]],
        # While it makes its database it listens on a socket only: asked over TCP, it is healthy when it is ready.
        "healthcheck": {
            "test": ["CMD", "pg_isready", "--host=127.0.0.1", "--username=postgres"],
            "interval": "1s",
            "timeout": "3s",
            "retries": 60,
        },
        "restart": "always",
        "stop_signal": "SIGINT",
        "stop_grace_period": "30s",
        "security_opt": ["no-new-privileges:true"],
        "shm_size": "256m",
        "mem_limit": "1g",
    }


def _twofold(topology: Topology, role: Role, build: Mapping[str, str], stores: Mapping[str, str]) -> dict[str, Any]:
    """What each container with the application has; `stores` are secrets by store."""
    return {
        "image": f"{topology.image(role)}:${{TAG}}",
        "build": {**build, "target": role.value, "args": _build_arguments(topology)},
        "environment": {
            **{f"{variable_of(store)}_FILE": f"{_SECRETS}/{secret}" for store, secret in stores.items()},
            # The databases are reached over networks of this machine alone.
            "TWOFOLD_POSTGRES_TLS": "off",
        },
        "secrets": list(stores.values()),
        "user": f"{USER}:{USER}",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _build_arguments(topology: Topology) -> Tree:
    """How pip finds packages may be said in the environment: a mirror, or the folder of wheels alone."""
    from_environment = {name: f"${{{name}:-}}" for name in ("PIP_NO_INDEX", "PIP_INDEX_URL")}
    return {"VERSION": topology.project.version, **from_environment}


def _schema(topology: Topology, word: str, build: Mapping[str, str], *, after: Tree) -> Tree:
    """Runs once and ends: `twofold schema migrate`, and then `roles`."""
    stores = {login.store: login.secret for login in logins_of(topology) if login.whose == OWNER}
    return {
        **_twofold(topology, topology.roles[0], build, stores),
        "command": ["schema", word],
        "networks": ["write", "read"],
        "depends_on": after,
        "healthcheck": {"disable": True},
        "restart": "on-failure",
        "mem_limit": "256m",
    }


def _service(topology: Topology, service: Service, build: Mapping[str, str]) -> Tree:
    role = service.role
    stores = {login.store: login.secret for login in logins_of(topology) if login.whose == role.value}
    made = _twofold(topology, role, build, stores)
    made["environment"] |= service.environment
    return {
        **made,
        "command": ["serve", role.value],
        "networks": list(_NETWORKS[role]),
        "depends_on": {"roles": _COMPLETED},
        "scale": service.replicas.min,
        "expose": [str(HTTP_PORT)],
        "restart": "always",
        "stop_grace_period": f"{service.stop_s}s",
        "cpus": service.cpu_cores,
        "cpu_shares": _CPU_SHARES[role],
        "mem_limit": f"{service.memory_mib}m",
        "pids_limit": 200,
        "logging": {"driver": "json-file", "options": {"max-size": "50m", "max-file": "3"}},
    }


def _gateway(topology: Topology, images: ImageNames) -> Tree:
    asked = [*topology.of_role(Role.COMMAND), *topology.of_role(Role.QUERY)]
    return {
        "image": images.nginx,
        "entrypoint": ["nginx", "-e", "stderr", "-c", f"{FOLDER}/nginx.conf", "-g", "daemon off;"],
        "ports": [f"${{PORT:-{GATEWAY_PORT}}}:{GATEWAY_PORT}"],
        "volumes": [f"./gateway:{FOLDER}:ro"],
        "networks": ["front"],
        # Not until they are healthy: it says itself that a service is not there.
        "depends_on": {each.name: {"condition": "service_started"} for each in asked},
        "user": f"{USER}:{USER}",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "always",
        "stop_signal": "SIGQUIT",
        "stop_grace_period": "15s",
        "cpus": 1.0,
        "cpu_shares": _CPU_SHARES[Role.COMMAND],
        "mem_limit": "128m",
        "logging": {"driver": "json-file", "options": {"max-size": "50m", "max-file": "3"}},
    }


def _monitoring(images: ImageNames) -> dict[str, Tree]:
    """Prometheus and Grafana, for who asks for them: `docker compose --profile monitoring up`."""
    return {
        "prometheus": {
            "image": images.prometheus,
            "profiles": ["monitoring"],
            "command": ["--config.file=/etc/prometheus/prometheus.yaml", "--storage.tsdb.path=/prometheus"],
            "volumes": ["./monitoring:/etc/prometheus:ro", "prometheus:/prometheus"],
            "networks": ["front", "write", "read"],
            "ports": ["127.0.0.1:9090:9090"],
            "restart": "always",
            "mem_limit": "512m",
        },
        "grafana": {
            "image": images.grafana,
            "profiles": ["monitoring"],
            "environment": {"GF_PATHS_PROVISIONING": "/etc/provisioning"},
            "volumes": ["./monitoring/grafana:/etc/provisioning:ro", "grafana:/var/lib/grafana"],
            "networks": ["front"],
            "ports": ["127.0.0.1:3000:3000"],
            "restart": "always",
            "mem_limit": "512m",
        },
    }
