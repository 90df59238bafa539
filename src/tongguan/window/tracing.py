"""OpenTelemetry traces, if the extra ``otel`` is installed and an exporter is configured.

A request is a span; the span of the worker that records its messages is linked to it by the
W3C traceparent that the queue keeps. No span carries personal data or keys.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

CONFIGURED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_tracer: Any = None


def start(service: str) -> bool:
    """Begin to trace, if an exporter is configured; whether it is. Raises ImportError if the
    extra is not installed."""
    global _tracer
    if not any(os.environ.get(name) for name in CONFIGURED):
        return False
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("tongguan")
    return True


def stop() -> None:
    """Send what has not been sent yet."""
    global _tracer
    if _tracer is not None:
        from opentelemetry import trace

        provider: Any = trace.get_tracer_provider()
        provider.shutdown()
        _tracer = None


@contextmanager
def span(name: str, parent: str | None = None, **facts: Any) -> Iterator[Any]:
    """A span around a block; parent: a traceparent header. Yields it, or None without traces."""
    if _tracer is None:
        yield None
        return
    from opentelemetry.propagate import extract

    context = extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(name, context=context, attributes=facts) as current:
        yield current


@contextmanager
def linked(name: str, parents: Mapping[str, None], **facts: Any) -> Iterator[Any]:
    """A span linked to several others, given by their traceparents."""
    if _tracer is None:
        yield None
        return
    from opentelemetry import trace
    from opentelemetry.propagate import extract

    contexts = [
        trace.get_current_span(extract({"traceparent": parent})).get_span_context()
        for parent in parents
    ]
    links = [trace.Link(context) for context in contexts if context.is_valid]
    with _tracer.start_as_current_span(name, links=links, attributes=facts) as current:
        yield current


def here() -> str | None:
    """The traceparent of the span we are in; None without traces."""
    if _tracer is None:
        return None
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")
