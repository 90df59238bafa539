"""Traces: sent if an exporter is configured, without keys and personal data; else nothing."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from dossiers import PLATFORM, message, order
from zones import Zone

from tongguan.window import tracing


def test_without_an_exporter_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.CONFIGURED:
        monkeypatch.delenv(name, raising=False)
    assert not tracing.start("test")
    with tracing.span("anything") as span:
        assert span is None
    assert tracing.here() is None


def test_a_request_and_the_batch_that_records_it_are_linked_spans(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    got: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *about: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{collector.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        assert tracing.start("test")
        key = zone.key(PLATFORM[0])
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        zone.post(key, message(order(1)), traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        [(kept,)] = zone.rows("SELECT trace FROM submission")
        assert kept.split("-")[1] == trace
        zone.work()
        tracing.stop()
        collector.shutdown()
        thread.join()
    sent = b"".join(got)
    assert b"POST /api/messages" in sent
    assert b"record" in sent
    # The trace of the client stands in the span of its request, and in the link of the batch.
    assert sent.count(bytes.fromhex(trace)) >= 2
    assert key.encode() not in sent
    assert b"13900000001" not in sent
