"""What the gateway counts, for Prometheus. No label holds a key, a company or a number of a
parcel."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)


class Metrics:
    """The figures of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tongguan_requests",
            "Requests answered, by route and status",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "tongguan_request_seconds",
            "Seconds from the whole request to its answer, without the wait of long polls",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.messages = Counter(
            "tongguan_messages",
            "Messages handed in: accepted, refused as a whole, or come before",
            ["outcome"],
            registry=self.registry,
        )
        self.message_bytes = Counter(
            "tongguan_message_bytes", "Bytes of messages handed in", registry=self.registry
        )
        self.receipts = Counter(
            "tongguan_receipts_read", "Receipt messages given to readers", registry=self.registry
        )
        self.polls = Gauge("tongguan_polls", "Long polls that wait", registry=self.registry)
        self.waiting = Gauge(
            "tongguan_submissions_waiting", "Messages to be recorded", registry=self.registry
        )
        self.oldest = Gauge(
            "tongguan_submissions_oldest_seconds",
            "How long the oldest message that is to be recorded has waited",
            registry=self.registry,
        )
        self.set_aside = Gauge(
            "tongguan_submissions_set_aside",
            "Messages that could not be recorded and are kept for the operator",
            registry=self.registry,
        )
        self.workers = Gauge("tongguan_workers", "Workers at work", registry=self.registry)
        self.webhooks_failing = Gauge(
            "tongguan_webhooks_failing",
            "Webhooks whose last delivery failed",
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)
