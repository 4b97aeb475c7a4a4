"""Metrics for Prometheus: what the runtime and the HTTP door did, counted in plain Python and rendered at a scrape.

Counting happens on the hot paths of one event loop, so it takes no lock: a tenth of what prometheus-client's own
counters cost. Each system has its own registry, so that several may live in one process.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from twofold.errors import TwofoldError
from twofold.messages import RawEvent
from twofold.ports import Commit, Outcome, Share

__all__ = ["METRICS", "Metrics", "ReadModelFacts"]

METRICS: Mapping[str, str] = {
    "twofold_commands_total": "Commands answered, by command and code (ok, replayed, or an error's code).",
    "twofold_command_seconds": "Seconds from a command's arrival to its durable answer.",
    "twofold_append_seconds": "Seconds that an append to the event log took.",
    "twofold_append_batch_commands": "Commands in one append.",
    "twofold_appended_events_total": "Events handed to appends.",
    "twofold_queries_total": "Queries answered, by query and code.",
    "twofold_query_seconds": "Seconds from a query's arrival to its answer.",
    "twofold_fold_seconds": "Seconds that folding a page of events into a read model took.",
    "twofold_folded_events_total": "Events folded, by read model.",
    "twofold_read_model_position": "Position that a read model reflects.",
    "twofold_read_model_lag_events": "Events in the log that a read model does not reflect yet.",
    "twofold_read_model_lag_seconds": "Age of the oldest event that a read model does not reflect yet.",
    "twofold_read_model_state": "1 for the state that a read model is in.",
    "twofold_partitions_held": "Partitions of a read model that this process folds.",
    "twofold_partition_position": "Position that a partition reflects, of those that this process folds.",
    "twofold_partition_lag_events": "Events in the log that a partition does not reflect yet, of those held here.",
    "twofold_partition_epoch": "Epoch of the lease on a partition held here: it grows when another takes it over.",
    "twofold_partitions_taken_over_total": "Partitions that another process took over while this one folded them.",
    "twofold_event_log_position": "The last position of the event log.",
    "twofold_service_info": "1, with the role and the application of this process.",
    "twofold_concurrency_limit": "Commands or queries that may be worked on at once, as last measured.",
    "twofold_in_flight": "Commands or queries that are worked on now.",
    "twofold_waiting": "Commands or queries over the limit that wait to be let in.",
    "twofold_shed_total": "Commands or queries that were not let in, by reason (full, wait, deadline).",
    "twofold_stale_answers_total": "Queries given an earlier answer again, by the error that it stood in for.",
    "twofold_http_errors_total": "HTTP answers that were problems, by code.",
}
"""Every metric with its meaning."""

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COMMANDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
STATES = ("running", "rebuilding", "paused", "failed", "waiting", "stopped")
MOST_LABEL_SETS = 1_000
"""Label values of one metric: a refusal's code is the user's, and one that holds an id must not fill the memory."""

Labels = tuple[str, ...]


class ReadModelFacts(Protocol):
    """What is measured of a read model; seconds and events as their names say."""

    @property
    def name(self) -> str: ...
    @property
    def checkpoint(self) -> int: ...
    @property
    def lag_events(self) -> int | msgspec.UnsetType: ...
    @property
    def lag_s(self) -> float | msgspec.UnsetType: ...
    @property
    def state(self) -> str: ...


class ShareFacts(Protocol):
    """What is measured of a partition that this process folds."""

    @property
    def partition(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> int: ...


class ProjectorFacts(Protocol):
    """What is measured of a projector: what it folds now, and how many partitions were taken from it."""

    @property
    def shares(self) -> Sequence[ShareFacts]: ...
    @property
    def taken_over(self) -> int: ...


class LoadFacts(Protocol):
    """What is measured of the commands, or the queries, that are at work."""

    @property
    def limit(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def shed(self) -> Mapping[str, int]: ...


class _Counter:
    __slots__ = ("_counts", "_labels", "_name")

    def __init__(self, name: str, *labels: str) -> None:
        self._name, self._labels = name, labels
        self._counts: dict[Labels, int] = {}

    def add(self, labels: Labels, count: int = 1) -> None:
        known = self._counts.get(labels)
        if known is None:
            labels = labels if len(self._counts) < MOST_LABEL_SETS else ("other",) * len(labels)
            known = self._counts.get(labels, 0)
        self._counts[labels] = known + count

    def set(self, labels: Labels, count: int) -> None:
        """Take what somebody else has counted."""
        self._counts[labels] = count

    def collect(self) -> Metric:
        family = CounterMetricFamily(self._name.removesuffix("_total"), METRICS[self._name], labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        return family


class _Series:
    """One histogram's counts: the last bucket is for everything above the bounds."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        sum_so_far = 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self.counts, strict=True):
            sum_so_far += count
            yield bound, sum_so_far


class _Histogram:
    __slots__ = ("_bounds", "_labels", "_name", "_series")

    def __init__(self, name: str, bounds: Sequence[float], *labels: str) -> None:
        self._name, self._bounds, self._labels = name, bounds, labels
        self._series: dict[Labels, _Series] = {}

    def observe(self, labels: Labels, value: float) -> None:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series(self._bounds)
        series.observe(value)

    def collect(self) -> Metric:
        family = HistogramMetricFamily(self._name, METRICS[self._name], labels=self._labels)
        for labels, series in self._series.items():
            family.add_metric(labels, buckets=list(series.buckets()), sum_value=series.total)
        return family


class _Gauge:
    __slots__ = ("_labels", "_name", "_values")

    def __init__(self, name: str, *labels: str) -> None:
        self._name, self._labels = name, labels
        self._values: dict[Labels, float] = {}

    def set(self, labels: Labels, value: float) -> None:
        self._values[labels] = value

    def clear(self) -> None:
        self._values.clear()

    def collect(self) -> Metric:
        family = GaugeMetricFamily(self._name, METRICS[self._name], labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return family


class Metrics(Collector):
    """A probe that counts, and shows the counts in Prometheus' text format."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, *, role: str = "all", application: str = "") -> None:
        self._commands = _Counter("twofold_commands_total", "command", "code")
        self._command_seconds = _Histogram("twofold_command_seconds", SECONDS, "command")
        self._append_seconds = _Histogram("twofold_append_seconds", SECONDS)
        self._append_batch = _Histogram("twofold_append_batch_commands", COMMANDS)
        self._appended_events = _Counter("twofold_appended_events_total")
        self._queries = _Counter("twofold_queries_total", "query", "code")
        self._query_seconds = _Histogram("twofold_query_seconds", SECONDS, "query")
        self._fold_seconds = _Histogram("twofold_fold_seconds", SECONDS, "read_model")
        self._folded_events = _Counter("twofold_folded_events_total", "read_model")
        self._position = _Gauge("twofold_read_model_position", "read_model")
        self._lag_events = _Gauge("twofold_read_model_lag_events", "read_model")
        self._lag_seconds = _Gauge("twofold_read_model_lag_seconds", "read_model")
        self._state = _Gauge("twofold_read_model_state", "read_model", "state")
        self._held = _Gauge("twofold_partitions_held", "read_model")
        self._partition_position = _Gauge("twofold_partition_position", "read_model", "partition")
        self._partition_lag = _Gauge("twofold_partition_lag_events", "read_model", "partition")
        self._partition_epoch = _Gauge("twofold_partition_epoch", "read_model", "partition")
        self._taken_over = _Counter("twofold_partitions_taken_over_total", "read_model")
        self._head = _Gauge("twofold_event_log_position")
        self._service = _Gauge("twofold_service_info", "role", "application")
        self._service.set((role, application), 1)
        self._limit = _Gauge("twofold_concurrency_limit", "kind")
        self._in_flight = _Gauge("twofold_in_flight", "kind")
        self._waiting = _Gauge("twofold_waiting", "kind")
        self._shed = _Counter("twofold_shed_total", "kind", "reason")
        self._stale_answers = _Counter("twofold_stale_answers_total", "query", "code")
        self._http_errors = _Counter("twofold_http_errors_total", "code")
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    # --- the probe ---

    def command_done(self, command: str, code: str, seconds: float) -> None:
        self._commands.add((command, code))
        self._command_seconds.observe((command,), seconds)

    def append_done(
        self, commits: Sequence[Commit], outcomes: Sequence[Outcome] | TwofoldError, seconds: float
    ) -> None:
        self._append_batch.observe((), len(commits))
        self._append_seconds.observe((), seconds)
        self._appended_events.add((), sum([len(each.events) for each in commits]))

    def query_done(self, query: str, code: str, seconds: float) -> None:
        self._queries.add((query, code))
        self._query_seconds.observe((query,), seconds)

    def fold_done(self, read_model: str, page: Sequence[RawEvent], shares: Sequence[Share], seconds: float) -> None:
        self._folded_events.add((read_model,), len(page))
        self._fold_seconds.observe((read_model,), seconds)

    # --- what the HTTP door adds ---

    def http_error(self, code: str) -> None:
        self._http_errors.add((code,))

    def stale_answer(self, query: str, code: str) -> None:
        self._stale_answers.add((query, code))

    def loads_at(self, loads: Mapping[str, LoadFacts]) -> None:
        """How much this process works on now, of commands and of queries."""
        for kind, load in loads.items():
            self._limit.set((kind,), load.limit)
            self._in_flight.set((kind,), load.in_flight)
            self._waiting.set((kind,), load.waiting)
            for reason, count in load.shed.items():
                self._shed.set((kind, reason), count)

    def read_models_at(self, found: Sequence[ReadModelFacts], head: int | None) -> None:
        """Where the read models stand now; with none, it is not known, and what was known before is not shown."""
        for gauge in (self._position, self._lag_events, self._lag_seconds, self._state, self._head):
            gauge.clear()
        if head is not None:
            self._head.set((), head)
        for each in found:
            self._position.set((each.name,), each.checkpoint)
            if each.lag_events is not msgspec.UNSET and each.lag_s is not msgspec.UNSET:
                self._lag_events.set((each.name,), each.lag_events)
                self._lag_seconds.set((each.name,), each.lag_s)
            for state in STATES:
                self._state.set((each.name, state), state == each.state)

    def partitions_at(self, projectors: Mapping[str, ProjectorFacts], head: int | None) -> None:
        """What this process folds now, of each read model that it can fold."""
        for gauge in (self._held, self._partition_position, self._partition_lag, self._partition_epoch):
            gauge.clear()
        for name, projector in projectors.items():
            self._held.set((name,), len(projector.shares))
            self._taken_over.set((name,), projector.taken_over)
            for share in projector.shares:
                labels = name, str(share.partition)
                self._partition_position.set(labels, share.position)
                self._partition_epoch.set(labels, share.epoch)
                if head is not None:
                    self._partition_lag.set(labels, max(0, head - share.position))

    # --- the scrape ---

    def collect(self) -> Iterable[Metric]:
        for each in vars(self).values():
            if isinstance(each, _Counter | _Histogram | _Gauge):
                yield each.collect()

    def exposition(self) -> bytes:
        """Everything counted so far, in the text format."""
        return generate_latest(self._registry)
