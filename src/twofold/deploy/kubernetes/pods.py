"""Pods: services, gateway and migration, each under Pod Security "restricted", each warned before it is stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twofold.deploy.dockerfile import USER
from twofold.deploy.gateway import FOLDER, GATEWAY_PORT
from twofold.deploy.kubernetes.objects import Object, listed, made, name_of, selector_of
from twofold.deploy.logins import OWNER, SERVERS, logins_of
from twofold.deploy.manifest import Tree
from twofold.deploy.topology import HTTP_PORT, UNKNOWN_SCHEMA_EXIT, USAGE_EXIT, Service, Topology
from twofold.settings import Role, variable_of

__all__ = ["GATEWAY", "MIGRATE", "gateway_deployment", "migration_job", "pod", "restricted", "service_deployment"]

GATEWAY = "gateway"
MIGRATE = "migrate"

_SECRETS = "/run/secrets/twofold"
_NGINX_STOP_S = 20
_STARTUP_S: Mapping[Role, int] = {Role.COMMAND: 60, Role.QUERY: 60, Role.PROJECTOR: 120}
_READY_PERIOD_S: Mapping[Role, int] = {Role.COMMAND: 2, Role.QUERY: 2, Role.PROJECTOR: 5}


def service_deployment(topology: Topology, service: Service) -> Object:
    """No `replicas`: they belong to the autoscaler, and applying the file must not undo its work."""
    container: dict[str, Tree] = {
        "name": service.role.value,
        "image": topology.image(service.role),
        "imagePullPolicy": "IfNotPresent",
        "args": ["serve", service.role.value],
        "envFrom": [{"configMapRef": {"name": name_of(topology, service.name)}}],
        "env": listed({f"{variable_of(store)}_FILE": f"{_SECRETS}/{SERVERS[store]}" for store in service.reads}),
        "ports": [{"name": "http", "containerPort": HTTP_PORT}],
        **_probes(service.role),
        "resources": _resources(service.cpu_cores, service.memory_mib),
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [_TMP_MOUNT, {"name": "secrets", "mountPath": _SECRETS, "readOnly": True}],
    }
    stop_s = service.stop_s
    if service.role is not Role.PROJECTOR:
        stop_s += service.pre_stop_s
        sleep = f"import time; time.sleep({service.pre_stop_s})"
        container["lifecycle"] = {"preStop": {"exec": {"command": ["/venv/bin/python", "-I", "-S", "-c", sleep]}}}
    return _deployment(
        topology,
        service.name,
        labels=_clients(service.reads),
        annotations={"prometheus.io/scrape": "true", "prometheus.io/port": str(HTTP_PORT)},
        spec=pod(
            topology,
            service.name,
            container,
            volumes=[_TMP, _secret(topology, service.role.value)],
            priority=service.role.value,
            stop_s=stop_s,
        ),
    )


def gateway_deployment(topology: Topology, image: str) -> Object:
    container: dict[str, Tree] = {
        "name": "nginx",
        "image": image,
        "command": ["nginx", "-e", "stderr", "-c", f"{FOLDER}/nginx.conf", "-g", "daemon off;"],
        "ports": [{"name": "http", "containerPort": GATEWAY_PORT}],
        "readinessProbe": _probe("/livez", period_s=2, failures=2),
        "livenessProbe": _probe("/livez", period_s=10, failures=3),
        # nginx cuts connections when it is told to stop: first let others learn that it is leaving.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}},
        "resources": _resources(1.0, 128),
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [_TMP_MOUNT, {"name": "configuration", "mountPath": FOLDER, "readOnly": True}],
    }
    volumes: list[Tree] = [
        _TMP,
        {"name": "configuration", "configMap": {"name": name_of(topology, GATEWAY)}},
    ]
    spec = pod(topology, GATEWAY, container, volumes=volumes, priority=Role.COMMAND.value, stop_s=_NGINX_STOP_S)
    return _deployment(topology, GATEWAY, labels={}, annotations={}, spec=spec)


def migration_job(topology: Topology) -> Object:
    """First the schema, then who may do what with it.

    Made anew with each release: a Job can't be changed, so the one before is deleted first or by itself. It is tried
    again, in a new pod, while a database is away; what no other try mends ends it at once.
    """
    stores = [login.store for login in logins_of(topology) if login.whose == OWNER]
    spec = pod(
        topology,
        MIGRATE,
        _schema_container(topology, "roles", stores),
        volumes=[_TMP, _secret(topology, OWNER)],
        priority=Role.COMMAND.value,
        stop_s=30,
    )
    template: Tree = {
        "metadata": {"labels": {**selector_of(topology, MIGRATE), **_clients(stores)}},
        "spec": {
            **spec,
            "initContainers": [_schema_container(topology, "migrate", stores)],
            "restartPolicy": "Never",
        },
    }
    limits = {"backoffLimit": 20, "activeDeadlineSeconds": 3600, "ttlSecondsAfterFinished": 600}
    final: Tree = {"operator": "In", "values": [USAGE_EXIT, UNKNOWN_SCHEMA_EXIT]}
    policy: Tree = {"rules": [{"action": "FailJob", "onExitCodes": final}]}
    return made(
        topology, "Job", MIGRATE, api="batch/v1", spec={**limits, "podFailurePolicy": policy, "template": template}
    )


def _schema_container(topology: Topology, word: str, stores: Sequence[str]) -> dict[str, Tree]:
    return {
        "name": word,
        "image": topology.image(topology.roles[0]),
        "imagePullPolicy": "IfNotPresent",
        "args": ["schema", word],
        "envFrom": [{"configMapRef": {"name": name_of(topology, MIGRATE)}}],
        "env": listed({f"{variable_of(store)}_FILE": f"{_SECRETS}/{SERVERS[store]}" for store in stores}),
        "resources": _resources(0.5, 256),
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [_TMP_MOUNT, {"name": "secrets", "mountPath": _SECRETS, "readOnly": True}],
    }


def pod(
    topology: Topology,
    component: str,
    container: Mapping[str, Tree],
    *,
    volumes: Sequence[Tree],
    priority: str,
    stop_s: int,
    user: int = USER,
) -> dict[str, Tree]:
    """A pod's spec with one container."""
    return {
        "serviceAccountName": name_of(topology, component),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": name_of(topology, priority),
        "terminationGracePeriodSeconds": stop_s,
        "securityContext": restricted(user),
        "containers": [container],
        "volumes": volumes,
    }


def restricted(user: int) -> dict[str, Tree]:
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


_LOCKED_DOWN: Tree = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_TMP: Tree = {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}
_TMP_MOUNT: Tree = {"name": "tmp", "mountPath": "/tmp"}


def _deployment(
    topology: Topology,
    component: str,
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    spec: Mapping[str, Tree],
) -> Object:
    own = selector_of(topology, component)
    metadata: dict[str, Tree] = {"labels": {**own, **labels}}
    if annotations:
        metadata["annotations"] = annotations
    return made(
        topology,
        "Deployment",
        component,
        api="apps/v1",
        spec={
            "selector": {"matchLabels": own},
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 300,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": metadata, "spec": {**spec, "topologySpreadConstraints": _spread(own)}},
        },
    )


def _probes(role: Role) -> dict[str, Tree]:
    return {
        "startupProbe": _probe("/livez", period_s=1, failures=_STARTUP_S[role]),
        "readinessProbe": _probe("/readyz", period_s=_READY_PERIOD_S[role], failures=2),
        "livenessProbe": _probe("/livez", period_s=10, failures=3),
    }


def _probe(path: str, *, period_s: int, failures: int) -> Tree:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _resources(cpu_cores: float, memory_mib: int) -> Tree:
    """A quarter of the cores and half of the memory are asked for: what a service needs when little is going on."""
    return {
        "requests": {"cpu": f"{round(cpu_cores * 250)}m", "memory": f"{memory_mib // 2}Mi"},
        "limits": {"cpu": f"{round(cpu_cores * 1000)}m", "memory": f"{memory_mib}Mi"},
    }


def _spread(own: Mapping[str, str]) -> Tree:
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": own},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def _clients(stores: Sequence[str]) -> dict[str, str]:
    """Labels that let pods through to the stores that they work with."""
    return {SERVERS[store]: "client" for store in stores}


def _secret(topology: Topology, whose: str) -> Tree:
    return {"name": "secrets", "secret": {"secretName": name_of(topology, whose), "defaultMode": 0o440}}
