"""The files: a base, and what `dev` and `production` add to it.

Overlays add and never patch: what runs is what the base says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twofold.deploy.files import Files, mark
from twofold.deploy.gateway import Platform, nginx_conf, openapi_json
from twofold.deploy.kubernetes.objects import KIND, made, name_of, text_of
from twofold.deploy.kubernetes.pods import GATEWAY, MIGRATE, gateway_deployment, migration_job, service_deployment
from twofold.deploy.kubernetes.policies import network_policies, priority_classes, store_egress
from twofold.deploy.kubernetes.postgres import postgres, secret_keys
from twofold.deploy.kubernetes.routing import gateway_service, ingress, service_account, service_of
from twofold.deploy.kubernetes.scaling import disruption_budget, gateway_autoscaler, lag_autoscaler, load_autoscaler
from twofold.deploy.logins import OWNER, SERVERS, init_files, logins_of
from twofold.deploy.manifest import Tree
from twofold.deploy.project import ImageNames
from twofold.deploy.topology import Topology
from twofold.settings import Role

__all__ = ["kubernetes_files"]


def kubernetes_files(topology: Topology, *, tag: str, images: ImageNames) -> Files:
    """Files by path in the output folder."""
    return {
        **{f"base/{path}": text for path, text in _base(topology, images)},
        **{f"overlays/dev/{path}": text for path, text in _dev(topology, tag, images)},
        **{f"overlays/production/{path}": text for path, text in _production(topology, tag)},
    }


def _base(topology: Topology, images: ImageNames) -> Iterator[tuple[str, str]]:
    for service in topology.services:
        asked = [service_of(topology, service)] if service.role is not Role.PROJECTOR else []
        yield (
            f"{service.name}.yaml",
            text_of(service_account(topology, service.name), *asked, service_deployment(topology, service)),
        )
    gateway = (
        service_account(topology, GATEWAY),
        gateway_service(topology),
        gateway_deployment(topology, images.nginx),
    )
    yield f"{GATEWAY}.yaml", text_of(*gateway)
    yield f"{MIGRATE}.yaml", text_of(service_account(topology, MIGRATE), migration_job(topology))
    yield "network.yaml", text_of(*network_policies(topology))
    yield "priorities.yaml", text_of(*priority_classes(topology))
    yield "nginx.conf", nginx_conf(topology, Platform.KUBERNETES)
    yield "openapi.json", openapi_json(topology)
    resources = sorted([*(each.name for each in topology.services), GATEWAY, MIGRATE, "network", "priorities"])
    yield (
        "kustomization.yaml",
        _kustomization(
            resources=[f"{name}.yaml" for name in resources],
            configMapGenerator=[
                {"name": name_of(topology, GATEWAY), "files": ["nginx.conf", "openapi.json"]},
                *(
                    {"name": name_of(topology, name), "literals": [f"{key}={value}" for key, value in settings.items()]}
                    for name, settings in _settings(topology).items()
                ),
            ],
        ),
    )


def _settings(topology: Topology) -> Mapping[str, Mapping[str, str]]:
    """Of services and migration. TLS is said even where it is the default, so that `dev` can replace it."""
    tls = {"TWOFOLD_POSTGRES_TLS": topology.services[0].settings.postgres_tls}
    of_services = {
        each.name: {"TWOFOLD_POSTGRES_TLS": each.settings.postgres_tls, **each.environment}
        for each in topology.services
    }
    return {MIGRATE: tls, **of_services}


def _dev(topology: Topology, tag: str, images: ImageNames) -> Iterator[tuple[str, str]]:
    yield "namespace.yaml", text_of(_namespace(topology, f"{topology.name}-dev"))
    for server in SERVERS.values():
        yield f"{server}.yaml", text_of(*postgres(topology, server, images.postgres))
    yield "network.yaml", text_of(*store_egress(topology, inside=True))
    yield from init_files(topology, secrets_folder="/run/secrets")
    yield ".gitignore", f"# {mark(KIND)}\n/secrets/\n"
    merged: list[Tree] = [
        {"name": name_of(topology, name), "behavior": "merge", "literals": ["TWOFOLD_POSTGRES_TLS=off"]}
        for name in _settings(topology)
    ]
    logins: list[Tree] = [
        {"name": name_of(topology, server), "files": [f"logins.sql={server}.sql"]} for server in SERVERS.values()
    ]
    yield (
        "kustomization.yaml",
        _kustomization(
            namespace=f"{topology.name}-dev",
            resources=["../../base", "namespace.yaml", "network.yaml", *(f"{each}.yaml" for each in SERVERS.values())],
            images=_images(topology, tag),
            configMapGenerator=[*merged, *logins],
            secretGenerator=list(_dev_secrets(topology)),
            about="The secrets are files in secrets/, made once; they are not for Git.",
        ),
    )


def _dev_secrets(topology: Topology) -> Iterator[Tree]:
    for server in SERVERS.values():
        keys = secret_keys(topology, server)
        yield {"name": name_of(topology, server), "files": [f"{key}=secrets/{key}" for key in keys]}
    for whose in (OWNER, *(role.value for role in topology.roles)):
        own = [each for each in logins_of(topology) if each.whose == whose]
        files: Tree = [f"{each.server}=secrets/{each.secret}" for each in own]
        yield {"name": name_of(topology, whose), "files": files}


def _production(topology: Topology, tag: str) -> Iterator[tuple[str, str]]:
    loaded = [each for each in topology.services if each.role is not Role.PROJECTOR]
    components = [GATEWAY, *(each.name for each in topology.services)]
    yield "namespace.yaml", text_of(_namespace(topology, topology.name))
    yield (
        "scaling.yaml",
        text_of(
            gateway_autoscaler(topology),
            *(load_autoscaler(topology, each) for each in loaded),
            *(disruption_budget(topology, each) for each in components),
        ),
    )
    lagging = [each for service in topology.of_role(Role.PROJECTOR) for each in lag_autoscaler(topology, service)]
    if lagging:
        yield "keda.yaml", text_of(*lagging, about="Needs KEDA 2.12 or later in the cluster.")
    yield "network.yaml", text_of(*store_egress(topology, inside=False))
    yield "ingress.yaml", text_of(ingress(topology))
    files = ["namespace.yaml", "scaling.yaml", *(["keda.yaml"] if lagging else []), "network.yaml", "ingress.yaml"]
    yield (
        "kustomization.yaml",
        _kustomization(
            namespace=topology.name,
            resources=["../../base", *files],
            images=_images(topology, tag),
            about=f"These secrets have to be there, each key a URL of PostgreSQL:\n{_wanted_secrets(topology)}",
        ),
    )


def _wanted_secrets(topology: Topology) -> str:
    by_owner: dict[str, list[str]] = {}
    for login in logins_of(topology):
        by_owner.setdefault(name_of(topology, login.whose), []).append(login.server)
    return "\n".join(f"  {name}: {', '.join(keys)}" for name, keys in by_owner.items())


def _kustomization(*, about: str = "", **content: Tree) -> str:
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return text_of({**head, **content}, about=about)


def _images(topology: Topology, tag: str) -> Tree:
    return [{"name": topology.image(role), "newTag": tag} for role in topology.roles]


def _namespace(topology: Topology, name: str) -> Tree:
    """The cluster itself refuses a pod here that is not restricted."""
    found = made(topology, "Namespace", "namespace", name=name)
    found["metadata"]["labels"] |= {"pod-security.kubernetes.io/enforce": "restricted"}
    return found
