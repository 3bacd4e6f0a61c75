"""The one catalogue of metrics: every name, its labels, and one sentence. Others import the objects from here."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that nobody asks for

REGISTRY: Final = CollectorRegistry(auto_describe=True)
"""Ours alone: nothing of the process that we did not name."""

_FAST: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_CANARY: Final = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SLOW: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

EVENTS_PUBLISHED: Final = Counter(
    "millstream_events_published",
    "Events that the broker acknowledged, by type.",
    ["type"],
    registry=REGISTRY,
)
PUBLISH_FAILURES: Final = Counter(
    "millstream_publish_failures",
    "Calls of publish that the broker did not acknowledge in full.",
    registry=REGISTRY,
)
PUBLISH_SECONDS: Final = Histogram(
    "millstream_publish_seconds",
    "From the call of publish to the last acknowledgement.",
    buckets=_FAST,
    registry=REGISTRY,
)
RESULTS_LEFT_OUT: Final = Counter(
    "millstream_results_left_out",
    "Results on another grid than the first one of their series in their repository.",
    registry=REGISTRY,
)
EVENTS_REFUSED: Final = Counter(
    "millstream_events_refused", "Events that the edge refused, by type.", ["type"], registry=REGISTRY
)

AGENT_EVENTS: Final = Counter(
    "millstream_agent_events", "Events that an agent has acknowledged.", ["agent"], registry=REGISTRY
)
AGENT_RETRIES: Final = Counter(
    "millstream_agent_retries", "Batches that an agent had to try again.", ["agent"], registry=REGISTRY
)
AGENT_BATCH_SECONDS: Final = Histogram(
    "millstream_agent_batch_seconds",
    "Time an agent took for a batch.",
    ["agent"],
    buckets=_SLOW,
    registry=REGISTRY,
)
OBLIGATIONS_RENEWED: Final = Counter(
    "millstream_obligations_renewed",
    "Outcomes that did not come in time and were asked for again.",
    ["obligation"],
    registry=REGISTRY,
)
OBLIGATIONS_FAILED: Final = Counter(
    "millstream_obligations_failed",
    "Outcomes that did not come and are asked for no more.",
    ["obligation"],
    registry=REGISTRY,
)
REQUESTS_IN_FLIGHT: Final = Gauge(
    "millstream_requests_in_flight",
    "Requests that were dispatched and have no outcome yet.",
    ["lane"],
    registry=REGISTRY,
)

PROJECTION_EVENTS: Final = Counter(
    "millstream_projection_events", "Events that a projection has passed.", ["projection"], registry=REGISTRY
)
PROJECTION_ROWS: Final = Counter(
    "millstream_projection_rows", "Rows that a projection has written.", ["projection"], registry=REGISTRY
)
PROJECTION_BATCH_SECONDS: Final = Histogram(
    "millstream_projection_batch_seconds",
    "Time of one batch of a projection, from decoding to commit.",
    ["projection"],
    buckets=_FAST,
    registry=REGISTRY,
)
DERIVE_SECONDS: Final = Histogram(
    "millstream_projection_derive_seconds",
    "Time of the derive step of a projection for one key.",
    ["projection"],
    registry=REGISTRY,
)
DERIVE_FAILURES: Final = Counter(
    "millstream_projection_derive_failures",
    "Derive steps that met a bug; their keys stay stale.",
    ["projection"],
    registry=REGISTRY,
)
PROJECTION_LAG_RECORDS: Final = Gauge(
    "millstream_projection_lag_records",
    "Records between checkpoint and end of the log.",
    ["projection"],
    registry=REGISTRY,
)
DEAD_LETTERS: Final = Counter(
    "millstream_dead_letters", "Records that are no valid events.", ["projection"], registry=REGISTRY
)
QUARANTINED_EVENTS: Final = Counter(
    "millstream_quarantined_events",
    "Events put aside because the fold failed at their aggregate.",
    ["projection"],
    registry=REGISTRY,
)
UNKNOWN_TYPES: Final = Counter(
    "millstream_unknown_types",
    "Events of types that this build does not know, skipped.",
    ["projection"],
    registry=REGISTRY,
)

CANARY_SECONDS: Final = Histogram(
    "millstream_canary_seconds",
    "From the call of publish until a reader saw the row of a canary event.",
    buckets=_CANARY,
    registry=REGISTRY,
)
CANARIES_MISSING: Final = Counter(
    "millstream_canaries_missing",
    "Canary events that were not acknowledged, or not seen by a reader in time.",
    registry=REGISTRY,
)

HTTP_REQUESTS: Final = Counter(
    "millstream_http_requests", "Requests answered by the API.", ["route", "status"], registry=REGISTRY
)
HTTP_SECONDS: Final = Histogram(
    "millstream_http_seconds", "Time to answer a request.", ["route"], buckets=_FAST, registry=REGISTRY
)


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A metric whose values, and label values, are found anew at each scrape: what is gone is not exported any more."""

    name: str
    kind: Literal["gauge", "counter"] = "gauge"
    help: str
    labels: tuple[str, ...] = ()
    samples: tuple[tuple[tuple[str, ...], float], ...] = ()
    """(label values in the order of ``labels``, value)."""


class Source(Collector):
    """Families that a function tells, once ``registered``."""

    def __init__(self, tell: Callable[[], Iterable[Family]]) -> None:
        self._tell = tell

    def collect(self) -> Iterator[Metric]:
        for family in self._tell():
            made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = made(family.name, family.help, labels=family.labels)
            for values, value in family.samples:
                metric.add_metric(values, value)
            yield metric

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before it is told."""
        yield from ()


def exposition() -> bytes:
    """All metrics in Prometheus' text format (``text/plain; version=0.0.4``)."""
    return generate_latest(REGISTRY)


def serve_metrics(port: int) -> int:
    """Serve ``/metrics`` on loopback from a thread of its own; 0 takes any free port. The port.

    Raises OSError when the port is taken.
    """
    server, _ = start_http_server(port, addr="127.0.0.1", registry=REGISTRY)
    return int(server.server_port)
