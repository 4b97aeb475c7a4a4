from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.runtime.parts import Stocked, commit
from twofold.messages import RawEvent
from twofold.observability.metrics import METRICS, MOST_LABEL_SETS, Metrics
from twofold.operations.read_models import ReadModelStatus
from twofold.ports import Share
from twofold.streams import Position

Labels = dict[str, str]

TWO_EVENTS = commit(Stocked(sku="mug", units=1), Stocked(sku="mug", units=1))


@dataclass(frozen=True)
class Folding:
    """What a projector folds."""

    shares: Sequence[Share]
    taken_over: int = 0


def page_of(events: int) -> list[RawEvent]:
    return [
        RawEvent(Position(each), "product-mug", each, "Stocked", 1, b"{}", b"{}", 0) for each in range(1, events + 1)
    ]


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def test_commands_and_queries_are_counted_by_name_and_code() -> None:
    metrics = Metrics()
    metrics.command_done("Buy", "ok", 0.001)
    metrics.command_done("Buy", "ok", 0.001)
    metrics.command_done("Buy", "sold-out", 0.001)
    metrics.query_done("Stock", "ok", 0.001)
    assert value(metrics, "twofold_commands_total", command="Buy", code="ok") == 2
    assert value(metrics, "twofold_commands_total", command="Buy", code="sold-out") == 1
    assert value(metrics, "twofold_queries_total", query="Stock", code="ok") == 1


def test_a_histogram_is_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    metrics = Metrics()
    for commands in (1, 2, 3, 1_000):
        metrics.append_done([TWO_EVENTS] * commands, [], 0.004)
    counts = [
        value(metrics, "twofold_append_batch_commands_bucket", le=le) for le in ("1.0", "2.0", "4.0", "512.0", "+Inf")
    ]
    assert counts == [1, 2, 3, 3, 4]
    assert value(metrics, "twofold_append_batch_commands_sum") == 1_006
    assert value(metrics, "twofold_append_seconds_count") == 4
    assert value(metrics, "twofold_appended_events_total") == 2_012


def status(name: str, state: str) -> ReadModelStatus:
    return ReadModelStatus(name=name, checkpoint=7, head=10, lag_events=3, lag_s=0.5, state=state)


def test_read_models_are_shown_as_they_stand_at_the_scrape() -> None:
    metrics = Metrics()
    metrics.fold_done("Balance", page_of(5), [], 0.01)
    metrics.read_models_at([status("Balance", "failed"), status("Gone", "running")], 10)
    metrics.read_models_at([status("Balance", "failed")], 10)
    assert value(metrics, "twofold_folded_events_total", read_model="Balance") == 5
    assert value(metrics, "twofold_read_model_lag_events", read_model="Balance") == 3
    assert value(metrics, "twofold_read_model_lag_seconds", read_model="Balance") == 0.5
    assert value(metrics, "twofold_read_model_position", read_model="Balance") == 7
    assert value(metrics, "twofold_event_log_position") == 10
    assert value(metrics, "twofold_read_model_state", read_model="Balance", state="failed") == 1
    assert value(metrics, "twofold_read_model_state", read_model="Balance", state="running") == 0
    assert not [name for name, labels in samples(metrics) if ("read_model", "Gone") in labels]


def test_where_the_log_can_not_be_seen_there_is_a_position_and_no_lag() -> None:
    metrics = Metrics(role="query", application="bank")
    metrics.read_models_at([ReadModelStatus(name="Balance", checkpoint=7, state="running")], None)
    assert value(metrics, "twofold_read_model_position", read_model="Balance") == 7
    shown = {name for name, _ in samples(metrics)}
    assert not shown & {"twofold_event_log_position", "twofold_read_model_lag_events", "twofold_read_model_lag_seconds"}
    assert value(metrics, "twofold_service_info", role="query", application="bank") == 1


def test_partitions_are_shown_while_they_are_held_here() -> None:
    metrics = Metrics()
    both = Folding([Share(0, 3, Position(7)), Share(2, 5, Position(10))], taken_over=2)
    metrics.partitions_at({"Balance": both, "Other": Folding([])}, 10)
    assert value(metrics, "twofold_partitions_held", read_model="Balance") == 2
    assert value(metrics, "twofold_partitions_held", read_model="Other") == 0
    assert value(metrics, "twofold_partition_lag_events", read_model="Balance", partition="0") == 3
    assert value(metrics, "twofold_partition_position", read_model="Balance", partition="2") == 10
    assert value(metrics, "twofold_partition_epoch", read_model="Balance", partition="2") == 5
    assert value(metrics, "twofold_partitions_taken_over_total", read_model="Balance") == 2
    assert value(metrics, "twofold_partitions_taken_over_total", read_model="Other") == 0
    metrics.partitions_at({"Balance": Folding([Share(2, 5, Position(10))])}, 10)
    assert not [labels for _, labels in samples(metrics) if ("partition", "0") in labels]


def test_two_systems_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.http_error("not-found")
    assert value(one, "twofold_http_errors_total", code="not-found") == 1
    assert not [name for name, _ in samples(other) if name == "twofold_http_errors_total"]


def test_codes_without_end_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    for number in range(MOST_LABEL_SETS + 50):
        metrics.command_done("Buy", f"refused-{number}", 0.001)
    metrics.command_done("Buy", "refused-1", 0.001)
    assert value(metrics, "twofold_commands_total", command="other", code="other") == 50
    assert value(metrics, "twofold_commands_total", command="Buy", code="refused-1") == 2


def test_every_metric_is_shown_with_its_meaning() -> None:
    metrics = Metrics()
    text = metrics.exposition().decode()
    assert not [name for name, meaning in METRICS.items() if f"# HELP {name} {meaning}" not in text]


@pytest.mark.parametrize("name", ["process_cpu_seconds_total", "process_resident_memory_bytes"])
def test_the_process_is_measured_too(name: str) -> None:
    assert value(Metrics(), name) >= 0
