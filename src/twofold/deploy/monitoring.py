"""What to look at and when to be woken: Prometheus' alert rules and targets, and a dashboard for Grafana.

Every expression names metrics that services have; a test holds them against the list.
"""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec

from twofold.deploy.files import Files, mark
from twofold.deploy.manifest import Tree, to_yaml
from twofold.deploy.templates import filled
from twofold.deploy.topology import HTTP_PORT, Topology

__all__ = ["monitoring_files"]

_KIND = "monitoring"
_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS, _WIDTH, _HEIGHT = 2, 12, 8


def monitoring_files(topology: Topology) -> Files:
    """Files by path in the output folder: `grafana` holds what Grafana provisions itself from."""
    provider = {"name": topology.name, "type": "file", "options": {"path": "/etc/provisioning/dashboards"}}
    return {
        "alerts.yaml": filled("alerts.yaml.tmpl", mark=mark(_KIND), name=topology.name, absent=_absent(topology)),
        "prometheus.yaml": to_yaml(_prometheus(topology), comment=mark(_KIND)),
        "grafana/datasources/prometheus.yaml": to_yaml(_DATASOURCE, comment=mark(_KIND)),
        "grafana/dashboards/provider.yaml": to_yaml({"apiVersion": 1, "providers": [provider]}, comment=mark(_KIND)),
        "grafana/dashboards/twofold.json": _json(_dashboard(topology)),
    }


def _absent(topology: Topology) -> str:
    return " or ".join(f'absent(twofold_service_info{{role="{role.value}"}})' for role in topology.roles)


def _dashboard(topology: Topology) -> dict[str, Any]:
    """Two columns, from what clients see to what machines do."""
    stated = tomllib.loads(filled("panels.toml"))["panel"]
    return {
        "uid": f"twofold-{topology.name}",
        "title": f"{topology.name} on Twofold",
        "description": mark(_KIND),
        "tags": ["twofold"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "panels": [_panel(number, each) for number, each in enumerate(stated)],
    }


def _panel(number: int, stated: dict[str, Any]) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "title": stated["title"],
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": stated["unit"], "min": 0}, "overrides": []},
        "targets": [
            {"refId": letter, "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
            for letter, (expression, legend) in zip("ABCD", stated["show"], strict=False)
        ],
    }


def _prometheus(topology: Topology) -> Tree:
    """Docker's DNS names every replica of a service."""
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "15s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [
            {
                "job_name": service.name,
                "dns_sd_configs": [{"names": [service.name], "type": "A", "port": HTTP_PORT, "refresh_interval": "5s"}],
            }
            for service in topology.services
        ],
    }


_DATASOURCE: Tree = {
    "apiVersion": 1,
    "datasources": [{"name": "Prometheus", **_SOURCE, "url": "http://prometheus:9090", "isDefault": True}],
}


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"
