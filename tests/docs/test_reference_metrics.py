"""docs/reference/metrics.md lists every metric, with its kind and its labels."""

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.docs.pages import page, rows
from tests.unit.observability.test_metrics import Folding
from twofold.observability.metrics import METRICS, STATES, Metrics
from twofold.operations.read_models import ReadModelStatus
from twofold.ports import Share
from twofold.runtime.concurrency import Load
from twofold.streams import Position


def documented() -> dict[str, list[str]]:
    """By name: kind, labels, meaning."""
    return {
        cells[0].strip("`"): [cells[1], *cells[2:]] for cells in rows(page("reference/metrics.md")) if len(cells) == 4
    }


def observed() -> dict[str, tuple[str, set[str]]]:
    """Kind and labels of each metric, as a scrape shows them after each has counted something."""
    metrics = Metrics()
    metrics.command_done("Deposit", "ok", 0.1)
    metrics.append_done([], [], 0.1)
    metrics.query_done("AccountsOf", "ok", 0.1)
    metrics.fold_done("Balance", [], [], 0.1)
    metrics.http_error("overloaded")
    metrics.stale_answer("AccountsOf", "overloaded")
    metrics.loads_at({"query": Load(8, 8, 3, {"full": 0, "wait": 2, "deadline": 1})})
    status = ReadModelStatus(name="Balance", checkpoint=1, head=1, lag_events=0, lag_s=0, state="running")
    metrics.read_models_at([status], 1)
    metrics.partitions_at({"Balance": Folding([Share(0, 1, Position(1))])}, 1)
    found: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = family.type, {label for sample in family.samples for label in sample.labels} - {"le"}
    return found


def test_every_metric_is_documented_and_nothing_else() -> None:
    assert list(documented()) == list(METRICS)


def test_every_metric_is_of_the_kind_and_has_the_labels_that_the_page_says() -> None:
    shown = observed()
    for name, (kind, labels, meaning) in documented().items():
        assert shown[name] == (kind, set(re.findall(r"`(\w+)`", labels))), name
        assert len(meaning) > 10


def test_every_state_of_a_read_model_is_named() -> None:
    assert set(STATES) <= set(re.findall(r"`(\w+)`", documented()["twofold_read_model_state"][2]))


def test_what_to_watch_speaks_of_metrics_that_exist() -> None:
    known = {*METRICS, *(f"{name}_bucket" for name in METRICS)}
    assert set(re.findall(r"\btwofold_\w+", page("reference/metrics.md"))) <= known
