# SPDX-License-Identifier: Apache-2.0
"""The sink decodes what the real exporters send and fails as a broken backend does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_agent_instrumentation.testing import otlp_sink as module
from otel_agent_instrumentation.testing.otlp_sink import Fault, OtlpSink

RESOURCE = Resource({"service.name": "agent"})


def send_spans(url: str, *names: str, timeout: float = 1) -> None:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{url}/v1/traces", timeout=timeout, compression=Compression.Gzip)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for name in names:
        provider.get_tracer("lib", "1.2").start_span(name).end()
    provider.shutdown()


def post(url: str, path: str = "/v1/traces", body: bytes = b"") -> int:
    request = urllib.request.Request(url + path, body)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_spans() -> None:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    with OtlpSink() as sink:
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{sink.url}/v1/traces")))
        tracer = provider.get_tracer("lib", "1.2", attributes={"s": 1})
        with tracer.start_as_current_span("root", kind=trace.SpanKind.CLIENT, attributes={"a": [1, 2]}) as root:
            root.add_event("event", {"b": True})
            tracer.start_span("child", links=[trace.Link(root.get_span_context(), {"c": 0.5})]).end()
            root.set_status(trace.StatusCode.ERROR, "why")
        provider.shutdown()
        child, parent = sink.spans()
    assert (parent.resource["service.name"], parent.scope.name, parent.scope.attributes) == ("agent", "lib", {"s": 1})
    assert (parent.name, parent.kind, parent.attributes) == ("root", "client", {"a": [1, 2]})
    assert (parent.status, parent.status_message, parent.parent_id) == ("error", "why", None)
    assert [(event.name, event.attributes) for event in parent.events] == [("event", {"b": True})]
    assert (child.parent_id, child.trace_id) == (parent.span_id, parent.trace_id)
    assert [(link.span_id, link.attributes) for link in child.links] == [(parent.span_id, {"c": 0.5})]
    assert (child.kind, child.status) == ("internal", "unset")
    assert 0 < parent.start_ns <= child.start_ns <= child.end_ns <= parent.end_ns


def test_logs() -> None:
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    with OtlpSink() as sink:
        provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{sink.url}/v1/logs")))
        provider.get_logger("lib").emit(
            LogRecord(event_name="plan.generated", body={"x": [1, None]}, attributes={"k": "v"}, timestamp=7)
        )
        provider.shutdown()
        (log,) = sink.logs("plan.generated")
        assert sink.logs("other") == []
    assert (log.body, log.attributes, log.time_ns) == ({"x": [1, None]}, {"k": "v"}, 7)
    assert log.resource["service.name"] == "agent"


def test_metrics_keep_the_latest_of_a_cumulative_series() -> None:
    with OtlpSink() as sink:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{sink.url}/v1/metrics"), 3_600_000)
        provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
        meter = provider.get_meter("lib")
        counter, histogram = meter.create_counter("c"), meter.create_histogram("h", "s")
        for export in range(3):
            counter.add(1, {"k": "a"})
            counter.add(10, {"k": "b"})
            histogram.record(export * 100)
            provider.force_flush()
        provider.shutdown()
        metrics = sink.metrics()
        assert len(sink.points("c")) > 2
    assert sorted((point.attributes["k"], point.value) for point in metrics["c"]) == [("a", 3), ("b", 30)]
    (point,) = metrics["h"]
    assert (point.kind, point.unit, point.count, point.sum) == ("histogram", "s", 3, 300)
    assert sum(point.bucket_counts) == 3
    assert len(point.bucket_counts) == len(point.bounds) + 1
    assert metrics["c"][0].temporality == "cumulative"


def test_keeps_the_bytes_decompressed() -> None:
    with OtlpSink() as sink:
        send_spans(sink.url, "canary-name")
        (request,) = sink.requests
    assert request.signal == "traces"
    assert request.accepted
    assert b"canary-name" in request.body
    assert ("Content-Encoding", "gzip") in request.headers


@pytest.mark.parametrize("status", [400, 413, 429, 503])
def test_answers_a_status_and_accepts_nothing(status: int) -> None:
    with OtlpSink() as sink:
        sink.fail(Fault(status=status, retry_after=1, times=2))
        assert [post(sink.url) for _ in range(3)] == [status, status, 200]
        assert [request.accepted for request in sink.requests] == [False, False, True]


@pytest.mark.logs
def test_an_exporter_retries_into_a_healed_sink() -> None:
    with OtlpSink() as sink:
        sink.fail(Fault(status=503, times=1))
        send_spans(sink.url, "late", timeout=10)
        assert [span.name for span in sink.spans()] == ["late"]
        assert len(sink.requests) == 2


def test_retry_after_is_a_header() -> None:
    with OtlpSink() as sink:
        sink.fail(Fault(status=429, retry_after=7))
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{sink.url}/v1/logs", b"", timeout=5)  # noqa: S310
        assert caught.value.headers["Retry-After"] == "7"
        caught.value.close()


@pytest.mark.logs
def test_refuses_then_comes_back() -> None:
    with OtlpSink() as sink:
        sink.refuse()
        send_spans(sink.url, "lost", timeout=0.5)
        assert sink.requests == []
        sink.come_back()
        send_spans(sink.url, "kept")
        assert [span.name for span in sink.spans()] == ["kept"]


@pytest.mark.logs
@pytest.mark.parametrize("fault", [Fault(blackhole=True), Fault(reset=True)])
def test_does_not_answer(fault: Fault) -> None:
    with OtlpSink() as sink:
        sink.fail(fault)
        send_spans(sink.url, "lost", timeout=0.5)
        assert sink.requests
        assert sink.spans() == []
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_a_drip_is_accepted_but_slow() -> None:
    with OtlpSink() as sink:
        sink.fail(Fault(drip=0.001))
        assert post(sink.url) == 200
        sink.fail(Fault(drip=0.2))
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{sink.url}/v1/traces", b"", timeout=0.1)  # noqa: S310


def test_what_is_no_otlp_is_refused() -> None:
    with OtlpSink() as sink:
        assert post(sink.url, "/v1/other") == 404
        assert post(sink.url, body=b"\xff\xff") == 400
        assert [request.accepted for request in sink.requests] == [False]


def test_wait_for_and_clear() -> None:
    with OtlpSink() as sink:
        assert not sink.wait_for(lambda one: one.spans(), timeout=0.1)
        send_spans(sink.url, "one")
        assert sink.wait_for(lambda one: one.spans("one"))
        sink.clear()
        assert (sink.spans(), sink.requests) == ([], [])


def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    command = [sys.executable, "-m", module.__name__, "--port", "0", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        send_spans(url, "one", "two")
        process.terminate()
        assert process.wait(5) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["signal"], line["name"], line["scope"]["name"]) for line in lines] == [
        ("span", "one", "lib"),
        ("span", "two", "lib"),
    ]
