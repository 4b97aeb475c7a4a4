"""PostgreSQL in the cluster, for the `dev` overlay alone: one server for each store, with a volume."""

from __future__ import annotations

from twofold.deploy.kubernetes.objects import Object, listed, made, name_of, selector_of
from twofold.deploy.kubernetes.pods import pod
from twofold.deploy.kubernetes.routing import service_account
from twofold.deploy.logins import database_of, logins_of, superuser_secret
from twofold.deploy.manifest import Tree
from twofold.deploy.topology import Topology
from twofold.settings import Role

__all__ = ["postgres", "secret_keys"]

_USER = 999
"""Of PostgreSQL's image on Debian."""

_DATA = "/var/lib/twofold"
_SECRETS = "/run/secrets"
_MOUNTS = (("data", _DATA), ("run", "/var/run/postgresql"), ("tmp", "/tmp"), ("logins", "/docker-entrypoint-initdb.d"))


def postgres(topology: Topology, server: str, image: str) -> list[Object]:
    ready: Tree = {
        "exec": {"command": ["pg_isready", "--host=127.0.0.1", "--username=postgres"]},
        "periodSeconds": 2,
        "timeoutSeconds": 3,
        "failureThreshold": 3,
    }
    environment = {
        "POSTGRES_DB": database_of(topology),
        "POSTGRES_PASSWORD_FILE": f"{_SECRETS}/{superuser_secret(server)}",
        "PGDATA": f"{_DATA}/data",
    }
    container: dict[str, Tree] = {
        "name": "postgres",
        "image": image,
        "args": ["postgres", "-c", "max_connections=300"],
        "env": listed(environment),
        "ports": [{"name": "postgres", "containerPort": 5432}],
        "readinessProbe": ready,
        "resources": {
            "requests": {"cpu": "250m", "memory": "256Mi"},
            "limits": {"cpu": "1000m", "memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            *({"name": name, "mountPath": path} for name, path in _MOUNTS),
            {"name": "secrets", "mountPath": _SECRETS, "readOnly": True},
        ],
    }
    spec = pod(
        topology,
        server,
        container,
        volumes=_volumes(topology, server),
        priority=Role.COMMAND.value,
        stop_s=60,
        user=_USER,
    )
    return [
        service_account(topology, server),
        _service(topology, server),
        made(topology, "StatefulSet", server, api="apps/v1", spec=_stateful(topology, server, spec)),
    ]


def _stateful(topology: Topology, server: str, spec: Tree) -> Tree:
    own = selector_of(topology, server)
    claim: Tree = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
    }
    return {
        "serviceName": name_of(topology, server),
        "replicas": 1,
        "selector": {"matchLabels": own},
        "template": {"metadata": {"labels": own}, "spec": spec},
        "volumeClaimTemplates": [claim],
    }


def _volumes(topology: Topology, server: str) -> list[Tree]:
    return [
        {"name": "run", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "logins", "configMap": {"name": name_of(topology, server)}},
        {"name": "secrets", "secret": {"secretName": name_of(topology, server), "defaultMode": 0o440}},
    ]


def _service(topology: Topology, server: str) -> Object:
    """Its name is the one in the URLs of the secrets."""
    ports: Tree = [{"name": "postgres", "port": 5432, "targetPort": "postgres"}]
    content: Tree = {"selector": selector_of(topology, server), "ports": ports}
    return made(topology, "Service", server, name=server, spec=content)


def secret_keys(topology: Topology, server: str) -> list[str]:
    """Secrets that the server reads: the superuser's password, and the logins' URLs."""
    return [
        superuser_secret(server),
        *(each.secret for each in logins_of(topology) if each.server == server and each.group),
    ]
