"""Who may speak to whom: nobody to nobody, but for the edges of the flow; and who has to give way.

The gateway asks command and query services, those and the projectors their stores, and Prometheus everyone.
"""

from __future__ import annotations

from collections.abc import Mapping

from twofold.deploy.gateway import GATEWAY_PORT
from twofold.deploy.kubernetes.objects import Object, made, name_of, selector_of
from twofold.deploy.kubernetes.pods import GATEWAY
from twofold.deploy.logins import SERVERS
from twofold.deploy.manifest import Tree
from twofold.deploy.topology import HTTP_PORT, Topology
from twofold.settings import Role

__all__ = ["network_policies", "priority_classes", "store_egress"]

POSTGRES_PORT = 5432
_PRIORITIES: Mapping[Role, int] = {Role.COMMAND: 3_000, Role.PROJECTOR: 2_000, Role.QUERY: 1_000}


def priority_classes(topology: Topology) -> list[Object]:
    """When the cluster is full, queries give way first, and commands last."""
    return [
        {
            **made(topology, "PriorityClass", role.value, api="scheduling.k8s.io/v1"),
            "value": _PRIORITIES[role],
            "globalDefault": False,
            "description": f"{role.value} services of {topology.name}, and what is as important",
        }
        for role in (Role.COMMAND, *(each for each in topology.roles if each is not Role.COMMAND))
    ]


def network_policies(topology: Topology) -> list[Object]:
    everyone = {"app.kubernetes.io/part-of": topology.name}
    asked = [each.name for each in topology.services if each.role is not Role.PROJECTOR]
    gateway = selector_of(topology, GATEWAY)
    return [
        _policy(topology, "default-deny", everyone, ingress=[], egress=[]),
        _policy(topology, "names", everyone, egress=[{"ports": [_port(53, "UDP"), _port(53, "TCP")]}]),
        _policy(topology, "from-outside", gateway, ingress=[{"ports": [_port(GATEWAY_PORT)]}]),
        _policy(
            topology,
            "gateway-asks",
            gateway,
            egress=[{"to": [_pods(selector_of(topology, name)) for name in asked], "ports": [_port(HTTP_PORT)]}],
        ),
        *(
            _policy(
                topology,
                f"gateway-to-{name}",
                selector_of(topology, name),
                ingress=[{"from": [_pods(gateway)], "ports": [_port(HTTP_PORT)]}],
            )
            for name in asked
        ),
        _policy(
            topology,
            "metrics",
            everyone,
            ingress=[{"from": [_namespace(topology.project.deploy.monitoring_namespace)], "ports": [_port(HTTP_PORT)]}],
        ),
    ]


def store_egress(topology: Topology, *, inside: bool) -> list[Object]:
    """The way to PostgreSQL, for the pods that work with it: to the pods of `dev`, or to wherever production has it."""
    policies: list[Object] = []
    for server in SERVERS.values():
        target: dict[str, Tree] = {"ports": [_port(POSTGRES_PORT)]}
        client = {"app.kubernetes.io/part-of": topology.name, server: "client"}
        if inside:
            own = selector_of(topology, server)
            target["to"] = [_pods(own)]
            ingress: Tree = [{"from": [_pods(client)], "ports": [_port(POSTGRES_PORT)]}]
            policies.append(_policy(topology, f"clients-of-{server}", own, ingress=ingress))
        policies.append(_policy(topology, f"to-{server}", client, egress=[target]))
    return policies


def _policy(
    topology: Topology,
    name: str,
    pods: Mapping[str, str],
    *,
    ingress: Tree = None,
    egress: Tree = None,
) -> Object:
    rules = {"Ingress": ("ingress", ingress), "Egress": ("egress", egress)}
    given = {kind: rule for kind, rule in rules.items() if rule[1] is not None}
    spec: dict[str, Tree] = {"podSelector": {"matchLabels": pods}, "policyTypes": list(given)}
    spec |= {key: rule for key, rule in given.values() if rule}
    full_name = name_of(topology, name)
    return made(topology, "NetworkPolicy", name, api="networking.k8s.io/v1", name=full_name, spec=spec)


def _pods(labels: Mapping[str, str]) -> Tree:
    return {"podSelector": {"matchLabels": labels}}


def _namespace(name: str) -> Tree:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _port(number: int, protocol: str = "TCP") -> Tree:
    return {"port": number, "protocol": protocol}
