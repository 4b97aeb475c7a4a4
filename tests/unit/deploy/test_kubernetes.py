"""Manifests: valid by the schemas of Kubernetes 1.37 and KEDA, scaled, isolated, and with references for secrets."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.conftest import FindTool
from tests.unit.deploy.keda_schema import SCHEMAS
from tests.unit.deploy.projects import PLAIN, Document, documents, topology_of
from twofold.cli import program
from twofold.deploy.files import Files
from twofold.deploy.kubernetes.overlays import kubernetes_files
from twofold.deploy.logins import missing_secrets
from twofold.deploy.project import ImageNames
from twofold.deploy.topology import Topology

VERSION = "1.37.0"
OVERLAYS = ("dev", "production")


@cache
def files_of(topology: Topology) -> Files:
    return kubernetes_files(topology, tag="1.4.0-abc", images=ImageNames())


def objects(topology: Topology, kind: str, *, under: str = "") -> dict[str, Document]:
    found = [each for each in documents(files_of(topology), under=under) if each["kind"] == kind]
    return {each["metadata"]["name"]: each for each in found}


def pods(topology: Topology) -> dict[str, tuple[Document, dict[str, Any]]]:
    """Every object that makes pods, with the pod's template."""
    kinds = ("Deployment", "Job", "StatefulSet")
    found = [each for kind in kinds for each in objects(topology, kind).values()]
    return {each["metadata"]["name"]: (each, each["spec"]["template"]) for each in found}


def kustomization(topology: Topology, folder: str) -> Document:
    return yaml.safe_load(files_of(topology)[f"{folder}/kustomization.yaml"])


def test_every_object_is_valid(topology: Topology) -> None:
    for each in documents(files_of(topology)):
        if each["kind"] in SCHEMAS:
            jsonschema.validate(each, SCHEMAS[each["kind"]])
        else:
            kubernetes_validate.validate(each, VERSION, strict=True)


def test_the_schemas_are_strict(plain: Topology) -> None:
    (deployment, *_) = objects(plain, "Deployment").values()
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSION, strict=True)
    (scaled,) = objects(plain, "ScaledObject").values()
    scaled["spec"]["triggers"][0]["metadata"]["treshold"] = "1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(scaled, SCHEMAS["ScaledObject"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_takes_it(overlay: str, topology: Topology, tmp_path: Path, find_tool: FindTool) -> None:
    for path, text in files_of(topology).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    secrets = tmp_path / "overlays" / "dev" / "secrets"
    secrets.mkdir()
    for name, text in missing_secrets(topology, {}).items():
        (secrets / name).write_text(text)
    tool = find_tool("kustomize", "kubectl")
    words = ["build"] if tool.name == "kustomize" else ["kustomize"]
    folder = tmp_path / "overlays" / overlay
    done = subprocess.run([tool, *words, folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made = [each for each in yaml.safe_load_all(done.stdout) if each["kind"] not in SCHEMAS]
    for each in made:
        kubernetes_validate.validate(each, VERSION, strict=True)
    images = {
        each["spec"]["template"]["spec"]["containers"][0]["image"] for each in made if each["kind"] == "Deployment"
    }
    assert {f"{topology.image(role)}:1.4.0-abc" for role in topology.roles} < images
    namespaces = {
        each["metadata"].get("namespace") for each in made if each["kind"] not in ("Namespace", "PriorityClass")
    }
    assert namespaces == {"shop-dev" if overlay == "dev" else "shop"}


@pytest.mark.parametrize("folder", ["base", *(f"overlays/{each}" for each in OVERLAYS)])
def test_every_file_is_listed_and_every_listed_file_is_there(folder: str, topology: Topology) -> None:
    files = files_of(topology)
    found = kustomization(topology, folder)
    own = {path.removeprefix(f"{folder}/") for path in files if path.startswith(f"{folder}/")}
    listed = {each for each in found["resources"] if each.endswith(".yaml")}
    assert listed == {path for path in own if path.endswith(".yaml")} - {"kustomization.yaml"}
    generated = {
        each.rpartition("=")[2] for one in found.get("configMapGenerator", ()) for each in one.get("files", ())
    }
    assert generated <= own


def test_names_are_short_enough_for_every_kind(tmp_path: Path) -> None:
    name = "a" * 24
    text = f"{PLAIN}\n[tool.twofold.deploy]\nname = '{name}'\n[tool.twofold.services.{'b' * 24}]\nrole = 'query'\n"
    for each in documents(files_of(topology_of(text, tmp_path))):
        assert len(each["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())


# --- secrets ---


def test_no_file_has_a_secret(topology: Topology) -> None:
    assert not objects(topology, "Secret")
    secrets = missing_secrets(topology, {})
    passwords = [re.sub(r"^[^:]+://[^:]+:([^@]+)@.*", r"\1", text) for text in secrets.values()]
    assert not [path for path, text in files_of(topology).items() if any(each in text for each in passwords)]


def test_secrets_that_pods_mount_are_made_in_dev_and_listed_for_production(topology: Topology) -> None:
    generated = {each["name"] for each in kustomization(topology, "overlays/dev")["secretGenerator"]}
    mounted: set[str] = set()
    for _, template in pods(topology).values():
        mounted |= {each["secret"]["secretName"] for each in template["spec"]["volumes"] if "secret" in each}
    assert mounted == generated
    text = files_of(topology)["overlays/production/kustomization.yaml"]
    listed = set(re.findall(r"^#   (\S+): ", text, re.MULTILINE))
    assert listed == generated - {"shop-event-log", "shop-read-store"}


def test_a_service_gets_the_stores_of_its_role_and_no_other(topology: Topology) -> None:
    for service in topology.services:
        _, template = pods(topology)[f"shop-{service.name}"]
        names = {each["name"] for each in template["spec"]["containers"][0]["env"]}
        assert ("TWOFOLD_EVENT_LOG_FILE" in names) == (service.role != "query")
        assert ("TWOFOLD_READ_STORE_FILE" in names) == (service.role != "command")


# --- living and dying ---


def test_services_are_probed_and_given_time(topology: Topology) -> None:
    for service in topology.services:
        _, template = pods(topology)[f"shop-{service.name}"]
        container = template["spec"]["containers"][0]
        paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
        assert paths == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
        asked = service.role != "projector"
        assert ("lifecycle" in container) == asked
        grace = template["spec"]["terminationGracePeriodSeconds"]
        assert grace > service.settings.drain_timeout_s + (service.pre_stop_s if asked else 0)


def test_a_migration_that_no_other_try_mends_ends_at_once(plain: Topology) -> None:
    """`podFailurePolicy` needs pods that are not restarted; it knows init containers, too."""
    spec = objects(plain, "Job")["shop-migrate"]["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = spec["podFailurePolicy"]["rules"]
    final = {"operator": "In", "values": [program.USAGE, program.UNKNOWN_SCHEMA]}
    assert rule == {"action": "FailJob", "onExitCodes": final}


def test_every_container_asks_for_less_than_its_limit(topology: Topology) -> None:
    for name, (_, template) in pods(topology).items():
        resources = template["spec"]["containers"][0]["resources"]
        assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}, name


def test_a_rollout_never_has_fewer_than_before(topology: Topology) -> None:
    for each in objects(topology, "Deployment").values():
        assert each["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert "replicas" not in each["spec"]


def test_no_pod_has_a_token(topology: Topology) -> None:
    accounts = objects(topology, "ServiceAccount")
    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    for _, template in pods(topology).values():
        assert template["spec"]["automountServiceAccountToken"] is False
        assert template["spec"]["serviceAccountName"] in accounts


def test_commands_go_before_queries(topology: Topology) -> None:
    classes = objects(topology, "PriorityClass")
    assert classes["shop-command"]["value"] > classes["shop-query"]["value"]
    for _, template in pods(topology).values():
        assert template["spec"]["priorityClassName"] in classes


def test_replicas_are_spread_and_only_one_is_taken_at_a_time(topology: Topology) -> None:
    budgets = objects(topology, "PodDisruptionBudget")
    for name, deployment in objects(topology, "Deployment").items():
        keys = [each["topologyKey"] for each in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert budgets[name]["spec"]["selector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]


# --- scaling ---


def test_services_that_are_asked_scale_by_load(split: Topology) -> None:
    scaled = objects(split, "HorizontalPodAutoscaler")
    asked = {f"shop-{each.name}" for each in split.services if each.role != "projector"}
    assert set(scaled) == asked | {"shop-gateway"}
    assert scaled["shop-flash-sale"]["spec"]["minReplicas"] == 3
    assert scaled["shop-flash-sale"]["spec"]["maxReplicas"] == 20


def test_projectors_scale_by_lag_up_to_their_partitions(split: Topology) -> None:
    (scaled,) = objects(split, "ScaledObject").values()
    spec = scaled["spec"]
    assert spec["scaleTargetRef"]["name"] == "shop-folding"
    assert spec["maxReplicaCount"] == spec["fallback"]["replicas"] == 5
    triggers = {each["name"]: each for each in spec["triggers"]}
    assert {name: each["type"] for name, each in triggers.items()} == {
        "lag": "prometheus", "head": "postgresql", "folded": "postgresql",
    }  # fmt: skip
    assert set(re.findall(r"[a-z]+", spec["advanced"]["scalingModifiers"]["formula"])) == set(triggers)
    authentications = objects(split, "TriggerAuthentication")
    for each in triggers.values():
        if "authenticationRef" in each:
            (reference,) = authentications[each["authenticationRef"]["name"]]["spec"]["secretTargetRef"]
            assert reference["name"] == "shop-projector"


# --- who may speak to whom ---


def allowed(topology: Topology, overlay: str) -> set[tuple[str, str, int]]:
    """Edges between components that the policies of both ends let through; "outside" is everyone."""
    policies = [
        *objects(topology, "NetworkPolicy", under="base/").values(),
        *objects(topology, "NetworkPolicy", under=f"overlays/{overlay}/").values(),
    ]
    labels = {template["metadata"]["labels"]["app.kubernetes.io/component"]: template["metadata"]["labels"]
              for _, template in pods(topology).values()}  # fmt: skip
    out, into = set[tuple[str, str, int]](), set[tuple[str, str, int]]()
    for policy in policies:
        for own in chosen(policy["spec"]["podSelector"], labels):
            for direction, edges in (("egress", out), ("ingress", into)):
                for rule in policy["spec"].get(direction, ()):
                    for peer in peers(rule, labels):
                        for port in rule["ports"]:
                            edges.add((own, peer, port["port"]) if direction == "egress" else (peer, own, port["port"]))
    return {
        edge for edge in out | into if (edge in out or edge[0] == "outside") and (edge in into or edge[1] == "outside")
    }


def chosen(selector: Document, labels: dict[str, dict[str, str]]) -> set[str]:
    wanted = selector["matchLabels"].items()
    return {name for name, own in labels.items() if wanted <= own.items()}


def peers(rule: Document, labels: dict[str, dict[str, str]]) -> set[str]:
    stated = rule.get("to", rule.get("from"))
    if stated is None:
        return {"outside"}
    found: set[str] = set()
    for each in stated:
        found |= chosen(each["podSelector"], labels) if "podSelector" in each else {"monitoring"}
    return found


def test_only_the_edges_of_the_flow_are_open(split: Topology) -> None:
    asked = {each.name for each in split.services if each.role != "projector"}
    stores = {(each.name, store.replace("_", "-"), 5432) for each in split.services for store in each.reads} | {
        ("migrate", "event-log", 5432),
        ("migrate", "read-store", 5432),
    }
    flow = {("outside", "gateway", 8080)} | {("gateway", name, 8000) for name in asked}
    inside = {edge for edge in allowed(split, "dev") if edge[2] != 53}
    assert inside == flow | stores
    beyond = {edge for edge in allowed(split, "production") if edge[2] != 53}
    assert beyond == flow | {(own, "outside", port) for own, _, port in stores}


def test_everything_else_is_denied(topology: Topology) -> None:
    everyone = {"app.kubernetes.io/part-of": "shop"}
    deny = objects(topology, "NetworkPolicy")["shop-default-deny"]["spec"]
    assert deny == {"podSelector": {"matchLabels": everyone}, "policyTypes": ["Ingress", "Egress"]}
    for _, template in pods(topology).values():
        assert everyone.items() <= template["metadata"]["labels"].items()


def test_requests_come_in_by_the_gateway_alone(split: Topology) -> None:
    (ingress,) = objects(split, "Ingress").values()
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"secretName": "shop-tls", "hosts": ["shop.example.com"]}]
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "shop.example.com"
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == "shop-gateway"
    services = objects(split, "Service")
    assert set(services) == {"shop-gateway", "event-log", "read-store"} | {
        f"shop-{each.name}" for each in split.services if each.role != "projector"
    }
