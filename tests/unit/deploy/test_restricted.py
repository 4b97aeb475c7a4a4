"""Each rule of Pod Security "restricted" on each pod, the baseline's among them.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.deploy.test_kubernetes import documents, files_of, pods
from twofold.deploy.topology import Topology

Pod = dict[str, Any]
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SYSCTLS: set[str] = set()


def containers(pod: Pod) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, ())


def contexts(pod: Pod) -> list[dict[str, Any]]:
    return [pod.get("securityContext", {}), *(each.get("securityContext", {}) for each in containers(pod))]


def effective(pod: Pod, name: str) -> list[Any]:
    """What each container has, by itself or from the pod."""
    of_pod = pod.get("securityContext", {}).get(name)
    return [each.get("securityContext", {}).get(name, of_pod) for each in containers(pod)]


RULES: dict[str, Callable[[Pod], bool]] = {
    "no Windows host process": lambda pod: not any("windowsOptions" in each for each in contexts(pod)),
    "no namespace of the host": lambda pod: not any(pod.get(each) for each in ("hostNetwork", "hostPID", "hostIPC")),
    "not privileged": lambda pod: not any(each.get("privileged") for each in contexts(pod)),
    "no capability is added": lambda pod: not any(each.get("capabilities", {}).get("add") for each in contexts(pod)),
    "every capability is dropped": lambda pod: all(
        "ALL" in each["securityContext"]["capabilities"]["drop"] for each in containers(pod)
    ),
    "no path of the host": lambda pod: not any("hostPath" in each for each in pod.get("volumes", ())),
    "no port of the host": lambda pod: not any(
        port.get("hostPort") for each in containers(pod) for port in each.get("ports", ())
    ),
    "no host of its own choice in probes": lambda pod: not any(
        probe.get("httpGet", {}).get("host")
        for each in containers(pod)
        for name, probe in each.items()
        if name.endswith("Probe")
    ),
    "AppArmor is not overridden": lambda pod: not any("appArmorProfile" in each for each in contexts(pod)),
    "SELinux is not overridden": lambda pod: not any("seLinuxOptions" in each for each in contexts(pod)),
    "proc is masked": lambda pod: not any("procMount" in each for each in contexts(pod)),
    "seccomp is the runtime's": lambda pod: all(
        each and each["type"] in ("RuntimeDefault", "Localhost") for each in effective(pod, "seccompProfile")
    ),
    "sysctls are safe": lambda pod: {each["name"] for each in contexts(pod)[0].get("sysctls", ())} <= SYSCTLS,
    "volumes are of harmless kinds": lambda pod: all(
        set(each) - {"name"} <= VOLUMES for each in pod.get("volumes", ())
    ),
    "no escalation": lambda pod: all(
        each["securityContext"]["allowPrivilegeEscalation"] is False for each in containers(pod)
    ),
    "not as root": lambda pod: all(effective(pod, "runAsNonRoot")),
    "not as user 0": lambda pod: all(isinstance(each, int) and each > 0 for each in effective(pod, "runAsUser")),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_every_pod_keeps_the_rule(topology: Topology, rule: str) -> None:
    broken = [name for name, (_, template) in pods(topology).items() if not RULES[rule](template["spec"])]
    assert not broken


def test_every_pod_has_a_root_file_system_that_nobody_writes(topology: Topology) -> None:
    for name, (_, template) in pods(topology).items():
        for each in containers(template["spec"]):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True, name


def test_the_cluster_is_told_to_hold_us_to_it(topology: Topology) -> None:
    found = [each for each in documents(files_of(topology)) if each["kind"] == "Namespace"]
    assert len(found) == 2
    for each in found:
        assert each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


LOOSE: dict[str, Pod] = {
    "no Windows host process": {"securityContext": {"windowsOptions": {"hostProcess": True}}},
    "no namespace of the host": {"hostPID": True},
    "not privileged": {"containers": [{"securityContext": {"privileged": True}}]},
    "no capability is added": {"containers": [{"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]},
    "every capability is dropped": {"containers": [{"securityContext": {"capabilities": {"drop": []}}}]},
    "no path of the host": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
    "no port of the host": {"containers": [{"ports": [{"hostPort": 80}]}]},
    "no host of its own choice in probes": {"containers": [{"livenessProbe": {"httpGet": {"host": "1.2.3.4"}}}]},
    "AppArmor is not overridden": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
    "SELinux is not overridden": {"securityContext": {"seLinuxOptions": {"type": "x"}}},
    "proc is masked": {"containers": [{"securityContext": {"procMount": "Unmasked"}}]},
    "seccomp is the runtime's": {"containers": [{"securityContext": {"seccompProfile": {"type": "Unconfined"}}}]},
    "sysctls are safe": {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
    "volumes are of harmless kinds": {"volumes": [{"name": "x", "nfs": {}}]},
    "no escalation": {"containers": [{"securityContext": {"allowPrivilegeEscalation": True}}]},
    "not as root": {"containers": [{"securityContext": {"runAsNonRoot": False}}]},
    "not as user 0": {"containers": [{"securityContext": {"runAsUser": 0}}]},
}


@pytest.mark.parametrize("rule", RULES)
def test_a_pod_that_breaks_the_rule_is_seen(rule: str) -> None:
    assert not RULES[rule](LOOSE[rule])
