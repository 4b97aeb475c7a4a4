"""How many there are: command and query services by the CPU they use, projectors by how far they are behind.

Projectors are never more than their partitions, since each partition has one holder and the others would find nothing.
"""

from __future__ import annotations

from pathlib import Path

from twofold.deploy.kubernetes.objects import Object, made, name_of, selector_of
from twofold.deploy.kubernetes.pods import GATEWAY
from twofold.deploy.logins import SERVERS
from twofold.deploy.manifest import Tree
from twofold.deploy.project import Replicas
from twofold.deploy.topology import Service, Topology
from twofold.settings import Role
from twofold.stores.statements import load_statements

__all__ = ["disruption_budget", "gateway_autoscaler", "lag_autoscaler", "load_autoscaler"]

SQL = load_statements(Path(__file__).with_name("scaling.sql"))
_BUSY = 0.6
"""Share of its cores from which a service is given help."""

_GATEWAY_REPLICAS = Replicas(min=2, max=6)


def load_autoscaler(topology: Topology, service: Service) -> Object:
    """Quick to add, slow to take away."""
    return _autoscaler(topology, service.name, service.replicas, cpu_cores=service.cpu_cores)


def gateway_autoscaler(topology: Topology) -> Object:
    return _autoscaler(topology, GATEWAY, _GATEWAY_REPLICAS, cpu_cores=1.0)


def lag_autoscaler(topology: Topology, service: Service) -> list[Object]:
    """A KEDA ScaledObject on lag in events, from Prometheus and from PostgreSQL, whichever is greater.

    Head and checkpoints may be in different databases, so it is a formula that subtracts them. When one can't be asked,
    there are as many projectors as can be of use: too many do no harm.
    """
    stated = topology.project.deploy
    names = ",".join(f"'{name}'" for name in service.partitions)
    pattern = "|".join(service.partitions)
    own = f'twofold_service_info{{application="{topology.application.name}"}}'
    lag = f'max(twofold_read_model_lag_events{{read_model=~"{pattern}"}} and on (job, instance) {own})'
    triggers: list[Tree] = [
        {
            "type": "prometheus",
            "name": "lag",
            "metadata": {"serverAddress": stated.prometheus, "query": lag, "threshold": "1"},
        },
        _sql_trigger(topology, service, "head", SQL["head"], "event_log"),
        _sql_trigger(topology, service, "folded", SQL["folded"].format(read_models=names), "read_store"),
    ]
    spec: Tree = {
        "scaleTargetRef": {"name": name_of(topology, service.name)},
        "pollingInterval": 10,
        "cooldownPeriod": 120,
        "minReplicaCount": min(service.replicas.min, service.most_useful),
        "maxReplicaCount": service.most_useful,
        "fallback": {"failureThreshold": 3, "replicas": service.most_useful},
        "advanced": {
            "scalingModifiers": {
                "formula": "lag > head - folded ? lag : head - folded",
                "target": str(stated.lag_events_per_replica),
                "metricType": "AverageValue",
            },
            "horizontalPodAutoscalerConfig": {"behavior": _BEHAVIOUR},
        },
        "triggers": triggers,
    }
    return [
        *(_authentication(topology, service, store) for store in service.reads),
        made(topology, "ScaledObject", service.name, api="keda.sh/v1alpha1", spec=spec),
    ]


def disruption_budget(topology: Topology, component: str) -> Object:
    """Whoever empties a node waits for a replacement, also where there is only one replica."""
    spec: Tree = {"maxUnavailable": 1, "selector": {"matchLabels": selector_of(topology, component)}}
    return made(topology, "PodDisruptionBudget", component, api="policy/v1", spec=spec)


_BEHAVIOUR: Tree = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15},
            {"type": "Pods", "value": 2, "periodSeconds": 15},
        ],
        "selectPolicy": "Max",
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 120,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}],
    },
}


def _autoscaler(topology: Topology, component: str, replicas: Replicas, *, cpu_cores: float) -> Object:
    target = {"type": "AverageValue", "averageValue": f"{round(cpu_cores * _BUSY * 1000)}m"}
    spec: Tree = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name_of(topology, component)},
        "minReplicas": replicas.min,
        "maxReplicas": replicas.max,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        "behavior": _BEHAVIOUR,
    }
    return made(topology, "HorizontalPodAutoscaler", component, api="autoscaling/v2", spec=spec)


def _sql_trigger(topology: Topology, service: Service, name: str, query: str, store: str) -> Tree:
    return {
        "type": "postgresql",
        "name": name,
        "metadata": {"query": " ".join(query.split()), "targetQueryValue": "1"},
        "authenticationRef": {"name": _authentication_name(topology, service, store)},
    }


def _authentication(topology: Topology, service: Service, store: str) -> Object:
    reference = {
        "parameter": "connection",
        "name": name_of(topology, Role.PROJECTOR.value),
        "key": SERVERS[store],
    }
    return made(
        topology,
        "TriggerAuthentication",
        service.name,
        api="keda.sh/v1alpha1",
        name=_authentication_name(topology, service, store),
        spec={"secretTargetRef": [reference]},
    )


def _authentication_name(topology: Topology, service: Service, store: str) -> str:
    return f"{name_of(topology, service.name)}-{SERVERS[store]}"
