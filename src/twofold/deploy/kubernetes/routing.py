"""How requests come in: a Service for each service that is asked, one for the gateway, and the Ingress before it."""

from __future__ import annotations

from twofold.deploy.kubernetes.objects import Object, made, name_of, selector_of
from twofold.deploy.kubernetes.pods import GATEWAY
from twofold.deploy.manifest import Tree
from twofold.deploy.topology import HTTP_PORT, Service, Topology

__all__ = ["gateway_service", "ingress", "service_account", "service_of"]


def service_account(topology: Topology, component: str) -> Object:
    """Nothing here speaks to the cluster: an account without a token."""
    return {**made(topology, "ServiceAccount", component), "automountServiceAccountToken": False}


def service_of(topology: Topology, service: Service) -> Object:
    return _service(topology, service.name, port=HTTP_PORT)


def gateway_service(topology: Topology) -> Object:
    return _service(topology, GATEWAY, port=80)


def ingress(topology: Topology) -> Object:
    """Everything to the gateway. With `tls_secret` over TLS; who holds the certificate is the cluster's matter."""
    stated = topology.project.deploy
    backend: Tree = {"service": {"name": name_of(topology, GATEWAY), "port": {"name": "http"}}}
    rule: dict[str, Tree] = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec: dict[str, Tree] = {"rules": [{"host": stated.host, **rule} if stated.host else rule]}
    if stated.ingress_class:
        spec["ingressClassName"] = stated.ingress_class
    if stated.tls_secret:
        hosts: Tree = {"hosts": [stated.host]} if stated.host else {}
        spec["tls"] = [{"secretName": stated.tls_secret, **dict(hosts)}]
    return made(topology, "Ingress", GATEWAY, api="networking.k8s.io/v1", spec=spec)


def _service(topology: Topology, component: str, *, port: int) -> Object:
    ports: Tree = [{"name": "http", "port": port, "targetPort": "http"}]
    return made(topology, "Service", component, spec={"selector": selector_of(topology, component), "ports": ports})
