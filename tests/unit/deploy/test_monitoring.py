"""Alerts and dashboard: valid, and about metrics that there are."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import FindTool
from twofold.deploy.monitoring import monitoring_files
from twofold.deploy.topology import Topology
from twofold.errors import TwofoldError
from twofold.observability.metrics import METRICS, Metrics

PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def alerts(topology: Topology) -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(monitoring_files(topology)["alerts.yaml"])["groups"]
    return group["rules"]


def dashboard(topology: Topology) -> dict[str, Any]:
    return json.loads(monitoring_files(topology)["grafana/dashboards/twofold.json"])


def expressions(topology: Topology) -> list[str]:
    shown = [each["expr"] for panel in dashboard(topology)["panels"] for each in panel["targets"]]
    return [*(each["expr"] for each in alerts(topology)), *shown]


def test_every_metric_that_is_asked_for_is_one(topology: Topology) -> None:
    for expression in expressions(topology):
        for name in re.findall(r"\b(?:twofold|process)_\w+", expression):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert plain in METRICS or plain in PROCESS, name


def test_every_metric_is_looked_at(plain: Topology) -> None:
    text = "\n".join(expressions(plain))
    beside = {  # told by another one: the lag, or who holds what
        "twofold_read_model_position", "twofold_event_log_position", "twofold_partition_position",
        "twofold_partition_lag_events", "twofold_partition_epoch",
    }  # fmt: skip
    assert {name for name in METRICS if name not in text} == beside


def test_the_labels_that_are_asked_for_are_there(plain: Topology) -> None:
    metrics = Metrics(role="query", application="shop")
    assert 'twofold_service_info{application="shop",role="query"} 1.0' in metrics.exposition().decode()
    gone = next(each for each in alerts(plain) if each["alert"] == "TwofoldServiceGone")
    assert gone["expr"].count("absent(") == 3


def test_there_are_alerts_for_lag_errors_and_saturation(topology: Topology) -> None:
    names = {each["alert"] for each in alerts(topology)}
    assert {
        "TwofoldReadModelLags", "TwofoldReadModelFailed", "TwofoldNobodyFolds", "TwofoldServiceGone",
        "TwofoldCommandsFail", "TwofoldQueriesFail", "TwofoldClientsTurnedAway", "TwofoldCommandsSlow",
        "TwofoldQueriesSlow", "TwofoldProcessBusy", "TwofoldProjectorsStandStill",
    } <= names  # fmt: skip
    for each in alerts(topology):
        assert set(each["annotations"]) == {"summary", "description"}
        assert each["labels"] == {"severity": each["labels"]["severity"], "application": "shop"}
        assert each["labels"]["severity"] in ("warning", "critical")


def test_every_code_that_is_asked_for_is_one(topology: Topology) -> None:
    asked = [each for text in expressions(topology) for each in re.findall(r'code=~?"([^"]+)"', text)]
    codes = [each.code for each in all_errors(TwofoldError)]
    wanted = [code for each in asked for code in each.split("|")]
    assert wanted
    assert [each for each in wanted if not any(re.fullmatch(each, code) for code in codes)] == []


def all_errors(kind: type[TwofoldError]) -> list[type[TwofoldError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in all_errors(child))]


def test_panels_do_not_overlap(plain: Topology) -> None:
    panels = dashboard(plain)["panels"]
    places = {(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels}
    assert len(places) == len(panels) == len({each["id"] for each in panels})


def test_prometheus_takes_it(topology: Topology, tmp_path: Path, find_tool: FindTool) -> None:
    for path, text in monitoring_files(topology).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    promtool = find_tool("promtool")
    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yaml"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
