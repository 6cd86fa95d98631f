"""What ``/metrics`` tells, in Prometheus' text format. No label and no name ever holds what a request said."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 64, 128)


class Metrics:
    """Counters, gauges and histograms of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "peftsum_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "peftsum_request_seconds", "From request to answer", ["route"], buckets=SECONDS, registry=registry
        )
        self.summary_seconds = Histogram(
            "peftsum_summary_seconds", "From request to its summaries", buckets=SECONDS, registry=registry
        )
        self.queued_seconds = Histogram(
            "peftsum_queued_seconds", "From request to the first row that joins", buckets=SECONDS, registry=registry
        )
        self.batch = Histogram("peftsum_batch_rows", "Summaries in progress in a step", buckets=ROWS, registry=registry)
        self.queue = Gauge("peftsum_queue_summaries", "Summaries that wait", registry=registry)
        self.running = Gauge("peftsum_running_summaries", "Summaries in progress", registry=registry)
        self.summaries = Counter("peftsum_summaries", "Summaries written", registry=registry)
        self.given_up = Counter(
            "peftsum_given_up_requests", "Accepted requests whose client went or whose time was over", registry=registry
        )
        self.tokens = Counter("peftsum_tokens", "Tokens read and written", ["kind"], registry=registry)
        self.adapters = Gauge("peftsum_resident_adapters", "Adapters in memory", registry=registry)
        self.adapter_bytes = Gauge("peftsum_resident_adapter_bytes", "Bytes of adapters in memory", registry=registry)

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)
