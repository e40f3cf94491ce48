"""Numbers for Prometheus: of requests by route and status, of degraded lists, events, swaps and caches; never an id."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recsys.service.answers import EngineCounts, Recorded

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The service's metrics in a registry of their own."""

    def __init__(self, counts: Callable[[], EngineCounts]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "recsys_requests", "Requests answered", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "recsys_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._degraded = Counter("recsys_degraded", "Lists by step of the ladder", ("step",), registry=self._registry)
        self._events = Counter("recsys_events", "Events, new and repeated", ("outcome",), registry=self._registry)
        self._batches = Histogram(
            "recsys_batch_size", "Requests answered together", buckets=_BATCHES, registry=self._registry
        )
        self.in_flight = Gauge("recsys_requests_in_flight", "Requests being worked on", registry=self._registry)
        self._registry.register(_OfEngine(counts))
        self.batch: Callable[[int], None] = self._batches.observe

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request by its route's template."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def degraded(self, step: str) -> None:
        """Count a list that a step of the ladder answered."""
        self._degraded.labels(step).inc()

    def recorded(self, recorded: Recorded) -> None:
        """Count events."""
        self._events.labels("accepted").inc(recorded.accepted)
        self._events.labels("repeated").inc(recorded.repeated)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _OfEngine(Collector):
    """What the engine counts itself, read when the metrics are."""

    def __init__(self, counts: Callable[[], EngineCounts]) -> None:
        self._counts = counts

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that registering does not ask the engine yet."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the engine's numbers of now."""
        counts = self._counts()
        swaps = CounterMetricFamily("recsys_bundle_swaps", "Bundles by outcome", labels=["outcome"])
        swaps.add_metric(["taken"], counts.swaps)
        swaps.add_metric(["refused"], counts.refused_swaps)
        yield swaps
        sizes = GaugeMetricFamily("recsys_cache_entries", "Entries by cache", labels=["cache"])
        for name, size in sorted(counts.cache_sizes.items()):
            sizes.add_metric([name], size)
        yield sizes
