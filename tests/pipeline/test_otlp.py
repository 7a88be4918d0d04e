# SPDX-License-Identifier: Apache-2.0
"""The OTLP exporters one attempt at a time, against a real backend on loopback that fails as told."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from opentelemetry._logs import LogRecord
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_agent_instrumentation.pipeline import batch as batch_module
from otel_agent_instrumentation.pipeline import otlp_grpc
from otel_agent_instrumentation.pipeline.otlp import OtlpOptions, make_otlp_exporters
from otel_agent_instrumentation.pipeline.outcome import DELIVERED, Outcome, PlainTarget, Target, Verdict
from otel_agent_instrumentation.pipeline.processors import AgentLogProcessor, AgentSpanProcessor
from otel_agent_instrumentation.pipeline.queue import MIB, Limits
from otel_agent_instrumentation.testing.loopback import Connection, Loopback, Received, ResetConnection
from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import Fault, OtlpSink

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS = ["http/protobuf", "grpc"]
LATER = Limits(delay=60.0)
BAD_TEXT = "\ud800"


@pytest.fixture
def http() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@pytest.fixture(params=PROTOCOLS)
def backend(request) -> Iterator[tuple[str, Any]]:
    with OtlpSink() if request.param == "http/protobuf" else GrpcSink() as sink:
        yield request.param, sink


def spans(count: int = 1, **attributes: Any) -> list[Any]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(count):
        provider.get_tracer("test").start_span(f"s{number}", attributes=attributes).end()
    return list(memory.get_finished_spans())


def target_of(protocol: str, url: str, **more: Any) -> Target[Any]:
    endpoint = url + "/v1/traces" if protocol == "http/protobuf" else url
    made = make_otlp_exporters(protocol, ("traces",), OtlpOptions(endpoints={"traces": endpoint}, **more))
    assert made.spans is not None
    assert made.logs is None
    assert made.metrics is None
    return made.spans


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (None, DELIVERED),
        (Fault(status=503, retry_after=7), Outcome(Verdict.RETRY, "http_503", 7.0)),
        (Fault(status=429), Outcome(Verdict.RETRY, "http_429")),
        (Fault(status=502), Outcome(Verdict.RETRY, "http_502", maybe_delivered=True)),
        (Fault(status=413), Outcome(Verdict.SPLIT, "too_large")),
        (Fault(status=400), Outcome(Verdict.REFUSED, "http_400")),
        (Fault(status=401), Outcome(Verdict.REFUSED, "http_401")),
        (Fault(status=500), Outcome(Verdict.REFUSED, "http_500")),
        (Fault(status=302), Outcome(Verdict.REFUSED, "http_302")),
        (Fault(reset=True), Outcome(Verdict.RETRY, "connection_lost", maybe_delivered=True)),
        (Fault(blackhole=True), Outcome(Verdict.RETRY, "timeout", maybe_delivered=True)),
    ],
    ids=str,
)
def test_an_http_attempt_is_one_request_and_tells_what_came_of_it(http, fault, outcome):
    target = target_of("http/protobuf", http.url)
    http.fail(fault)
    assert target.attempt(spans(3), 0.5) == outcome
    assert len(http.requests) == (2 if fault and fault.reset else 1)
    http.fail(None)
    assert target.attempt(spans(3), 5.0) == DELIVERED
    target.close()


def test_the_pauses_of_the_sdk_are_not_taken(http):
    target = target_of("http/protobuf", http.url)
    http.fail(Fault(status=503))
    began = time.monotonic()
    for _ in range(5):
        target.attempt(spans(), 5.0)
    # One of its pauses is about a second.
    assert time.monotonic() - began < 2
    target.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9", "unreachable"),
        ("http://collector.invalid:4318", "dns"),
        ("https://127.0.0.1:{port}", "tls"),
    ],
)
def test_an_http_backend_that_cannot_be_reached_is_tried_again_later(http, url, reason):
    target = target_of("http/protobuf", url.format(port=http.port))
    assert target.attempt(spans(), 5.0) == Outcome(Verdict.RETRY, reason)
    target.close()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (None, DELIVERED),
        (Fault(status=503), Outcome(Verdict.RETRY, "grpc_unavailable", maybe_delivered=True)),
        (Fault(status=429), Outcome(Verdict.RETRY, "grpc_resource_exhausted")),
        (Fault(status=400), Outcome(Verdict.REFUSED, "grpc_invalid_argument")),
        (Fault(blackhole=True), Outcome(Verdict.RETRY, "grpc_deadline_exceeded", maybe_delivered=True)),
    ],
    ids=str,
)
def test_a_grpc_attempt_is_one_call_and_tells_what_came_of_it(fault, outcome):
    with GrpcSink() as sink:
        target = target_of("grpc", sink.url)
        sink.fail(fault)
        assert target.attempt(spans(3), 0.5) == outcome
        assert len(sink.requests) == 1
        target.close()


def test_a_grpc_backend_that_cannot_be_reached_is_tried_again_later():
    target = target_of("grpc", "http://127.0.0.1:9")
    assert target.attempt(spans(), 5.0) == Outcome(Verdict.RETRY, "unreachable")
    target.close()


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=400), Fault(reset=True)], ids=str)
def test_the_exporters_themselves_log_nothing(backend, caplog, fault):
    protocol, sink = backend
    sink.fail(fault)
    target = target_of(protocol, sink.url)
    with caplog.at_level(logging.INFO):
        target.attempt(spans(), 2.0)
    assert not caplog.records
    target.close()


@pytest.mark.logs
def test_records_that_the_backend_rejected_are_told(caplog):
    def answer(connection: Connection, received: Received) -> None:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = 2
        body = response.SerializeToString()
        connection.send(connection.head(200, {}, length=len(body)) + body)

    with Loopback(answer) as server:
        target = target_of("http/protobuf", server.url)
        assert target.attempt(spans(3), 5.0) == Outcome(Verdict.DELIVERED, rejected=2)
        processor = AgentSpanProcessor(target, LATER)
        for span in spans(3):
            processor.on_end(span)
        processor.force_flush(5000)
        processor.shutdown()
    assert processor.accounts.snapshot().dropped == {"rejected": 2}
    assert "(rejected)" in caplog.text


def test_a_connection_that_was_closed_while_idle_is_replaced_at_once():
    seen: list[int] = []

    def answer(connection: Connection, received: Received) -> None:
        seen.append(received.connection)
        if seen.count(received.connection) > 1:
            raise ResetConnection
        connection.send(connection.head(200, {}, length=0))

    with Loopback(answer) as server:
        processor = AgentSpanProcessor(target_of("http/protobuf", server.url), LATER)
        for _ in range(2):
            processor.on_end(spans()[0])
            assert processor.force_flush(5000)
        processor.shutdown()
    assert seen == [1, 1, 2]
    snapshot = processor.accounts.snapshot()
    assert (snapshot.exported, snapshot.resent, snapshot.trouble) == (2, 1, {})


def test_a_body_that_drips_does_not_hold_up_the_attempt(http):
    def answer(connection: Connection, received: Received) -> None:
        connection.send(connection.head(200, {}, length=1000))
        for _ in range(1000):
            connection.pause(0.05)
            connection.send(b"x")

    with Loopback(answer) as server:
        target = target_of("http/protobuf", server.url)
        began = time.monotonic()
        assert target.attempt(spans(), 0.5) == DELIVERED
        assert time.monotonic() - began < 2.5
        target.close()


@pytest.mark.faults
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_cannot_be_encoded_costs_itself_alone(protocol):
    with OtlpSink() if protocol == "http/protobuf" else GrpcSink() as sink:
        processor = AgentSpanProcessor(target_of(protocol, sink.url), LATER)
        good, bad = spans(20), spans(1)
        # The SDK cleans attributes, so a value that protobuf refuses comes in by the back door.
        object.__setattr__(bad[0], "_name", BAD_TEXT)
        for span in [*good[:7], *bad, *good[7:]]:
            processor.on_end(span)
        assert processor.force_flush(10_000)
        assert sorted(span.name for span in sink.spans()) == sorted(span.name for span in good)
        assert processor.accounts.snapshot().dropped == {"unserialisable": 1}
        processor.shutdown()


def test_a_batch_that_the_http_backend_finds_too_large_arrives_in_parts():
    arrived: list[int] = []

    def answer(connection: Connection, received: Received) -> None:
        status = 413 if len(received.body) > 300_000 else 200
        if status == 200:
            arrived.append(len(received.body))
        connection.send(connection.head(status, {}, length=0))

    with Loopback(answer) as server:
        processor = AgentSpanProcessor(target_of("http/protobuf", server.url), LATER)
        for span in spans(20, text="x" * 50_000):
            processor.on_end(span)
        assert processor.force_flush(10_000)
        assert processor.accounts.snapshot().exported == 20
        assert sum(arrived) > 1_000_000
        processor.shutdown()


def test_a_batch_that_the_grpc_backend_finds_too_large_arrives_in_parts():
    with GrpcSink() as sink:
        processor = AgentSpanProcessor(target_of("grpc", sink.url), Limits(delay=60, batch_bytes=64 * MIB))
        for span in spans(12, text="x" * 1_000_000):
            processor.on_end(span)
        assert processor.force_flush(20_000)
        assert len(sink.spans()) == 12
        processor.shutdown()


@pytest.mark.logs
def test_a_collector_that_comes_back_gets_everything_once(http, monkeypatch):
    monkeypatch.setattr(batch_module, "_FIRST_PAUSE", 0.1)
    processor = AgentSpanProcessor(target_of("http/protobuf", http.url), Limits(delay=0.05, batch_items=100))
    http.refuse()
    expected = spans(1500)
    for span in expected:
        processor.on_end(span)
    deadline = time.monotonic() + 10
    while not processor.accounts.snapshot().trouble and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processor.accounts.snapshot().trouble.keys() == {"unreachable"}
    http.come_back()
    assert http.wait_for(lambda sink: len(sink.spans()) >= 1500, timeout=20)
    assert processor.force_flush(5000)
    assert [span.name for span in http.spans()] == [span.name for span in expected]
    snapshot = processor.accounts.snapshot()
    assert (snapshot.exported, snapshot.lost, snapshot.unknown, snapshot.resent) == (1500, 0, 0, 0)
    processor.shutdown()


@pytest.mark.logs
def test_a_collector_that_comes_back_over_grpc_gets_everything_once(monkeypatch):
    monkeypatch.setattr(batch_module, "_FIRST_PAUSE", 0.1)
    with GrpcSink() as probe:
        port = probe.port
    processor = AgentSpanProcessor(target_of("grpc", f"http://127.0.0.1:{port}"), Limits(delay=0.05))
    for span in spans(50):
        processor.on_end(span)
    assert not processor.force_flush(3000)
    with GrpcSink(port=port) as sink:
        assert sink.wait_for(lambda sink: len(sink.spans()) >= 50, timeout=20)
        assert processor.force_flush(5000)
        assert len(sink.spans()) == 50
        processor.shutdown()


def test_log_records_arrive(backend):
    protocol, sink = backend
    endpoint = sink.url + "/v1/logs" if protocol == "http/protobuf" else sink.url
    made = make_otlp_exporters(protocol, ("logs",), OtlpOptions(endpoints={"logs": endpoint}))
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(AgentLogProcessor(made.logs, LATER))
    provider.get_logger("test").emit(LogRecord(body={"a": ["b", 1]}, event_name="e"))
    assert provider.force_flush(5000)
    assert len(sink.logs("e")) == 1
    provider.shutdown()


def test_everything_that_many_threads_emit_arrives(http):
    limits = Limits(delay=0.01, max_items=100_000)
    processor = AgentSpanProcessor(target_of("http/protobuf", http.url), limits)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")

    def work(thread: int) -> None:
        for number in range(500):
            tracer.start_span(f"{thread}.{number}").end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert processor.force_flush(20_000)
    names = [span.name for span in http.spans()]
    assert len(names) == len(set(names)) == 4000
    provider.shutdown()


def test_metrics_arrive_with_the_temporality_of_the_environment(backend, monkeypatch):
    protocol, sink = backend
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    exporter = make_otlp_exporters(protocol, ("metrics",)).metrics
    assert exporter is not None
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("count").add(3)
    assert provider.force_flush(5000)
    assert [(point.value, point.temporality) for point in sink.points("count")] == [(3, "delta")]
    provider.shutdown()
    assert exporter.accounts.snapshot().exported == 1


@pytest.mark.logs
def test_metrics_that_cannot_be_delivered_are_counted_and_do_not_block_beyond_the_exit(http, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", http.url)
    http.fail(Fault(blackhole=True))
    exporter = make_otlp_exporters("http/protobuf", ("metrics",)).metrics
    assert exporter is not None
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("count").add(3)
    began = time.monotonic()
    exporter.begin_exit(began + 0.3)
    provider.shutdown(timeout_millis=300)
    assert not exporter.finish_exit(began + 0.3)
    assert time.monotonic() - began < 3
    snapshot = exporter.accounts.snapshot()
    assert (snapshot.emitted, snapshot.unknown) == (1, 1)


def test_the_session_of_a_credential_provider_is_used(http):
    class Session(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> requests.Response:
            headers = {**(kwargs.pop("headers", None) or {}), "authorization": f"Bearer {len(tokens)}"}
            answer = super().request(*args, headers=headers, **kwargs)
            if answer.status_code == 401 and len(tokens) < 2:
                tokens.append("new")
                return self.request(*args, headers=headers, **kwargs)
            return answer

    tokens = ["old"]
    http.fail(Fault(status=401, times=1))

    target = target_of("http/protobuf", http.url, session=Session, headers={"x-tenant": "t"})
    assert target.attempt(spans(), 5.0) == DELIVERED
    asked = [{name.lower(): value for name, value in request.headers} for request in http.requests]
    assert [headers["authorization"] for headers in asked] == ["Bearer 1", "Bearer 2"]
    assert asked[1]["x-tenant"] == "t"
    target.close()


@pytest.mark.faults
def test_a_session_without_its_token_is_an_outage_and_not_a_poisoned_batch(http):
    class Session(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> requests.Response:
            raise LookupError

    target = target_of("http/protobuf", http.url, session=Session)
    assert target.attempt(spans(2), 5.0) == Outcome(Verdict.RETRY, "session")
    target.close()


def test_a_header_that_cannot_be_sent_is_final(http):
    target = target_of("http/protobuf", http.url, headers={"x-broken": "a\nb"})
    assert target.attempt(spans(2), 5.0) == Outcome(Verdict.REFUSED, "bad_request")
    target.close()


def test_gzip_and_headers_of_the_environment_are_kept(http, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=t")
    target = target_of("http/protobuf", http.url)
    assert target.attempt(spans(2), 5.0) == DELIVERED
    headers = {name.lower(): value for name, value in http.requests[0].headers}
    assert (headers["content-encoding"], headers["x-tenant"]) == ("gzip", "t")
    assert len(http.spans()) == 2
    target.close()


def test_after_a_fork_or_a_hang_new_connections_are_used(backend):
    protocol, sink = backend
    target: Any = target_of(protocol, sink.url)
    assert target.attempt(spans(), 5.0) == DELIVERED
    before = target._exporter
    target.renew()
    assert target.attempt(spans(), 5.0) == DELIVERED
    assert target._exporter is not before
    target.close()
    before.shutdown()


@pytest.mark.logs
def test_without_its_private_parts_the_grpc_exporter_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr(otlp_grpc, "_SEAMS", ("gone_in_a_later_version",))
    with GrpcSink() as sink:
        target = target_of("grpc", sink.url)
        assert isinstance(target, PlainTarget)
        assert target.attempt(spans(2), 5.0) == DELIVERED
        assert len(sink.spans()) == 2
        target.close()


@pytest.mark.parametrize("endpoint", ["localhost:4318/v1/traces", "ftp://host/", "http://"])
def test_an_endpoint_that_is_no_url_is_told_at_once_without_its_value(endpoint):
    with pytest.raises(ValueError, match="the OTLP endpoint of traces is not") as caught:
        make_otlp_exporters("http/protobuf", ("traces",), OtlpOptions(endpoints={"traces": endpoint}))
    assert endpoint not in str(caught.value)


def test_an_unknown_protocol_is_told_at_once():
    with pytest.raises(ValueError, match="http/protobuf or grpc"):
        make_otlp_exporters("http/json")


@pytest.mark.parametrize(("protocol", "absent"), [("http/protobuf", "grpc"), ("grpc", "requests")])
def test_only_the_chosen_transport_is_imported(protocol, absent):
    code = (
        "import sys, otel_agent_instrumentation.pipeline.processors, otel_agent_instrumentation.pipeline.otlp as o\n"
        "assert not {'grpc', 'requests'} & set(sys.modules)\n"
        f"o.make_otlp_exporters({protocol!r})\n"
        f"assert {absent!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
