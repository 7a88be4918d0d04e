# SPDX-License-Identifier: Apache-2.0
"""The gRPC sink takes what the real exporter sends and fails with the codes a collector would use."""

from __future__ import annotations

import time

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_agent_instrumentation.testing.otlp_grpc import GrpcSink
from otel_agent_instrumentation.testing.otlp_sink import Fault

EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def send_span(url: str, name: str, timeout: float = 5) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(url, insecure=True, timeout=timeout)))
    provider.get_tracer("lib").start_span(name).end()
    provider.shutdown()


def test_takes_spans() -> None:
    with GrpcSink() as sink:
        send_span(sink.url, "one")
        assert [span.name for span in sink.spans()] == ["one"]
        assert b"one" in sink.requests[0].body


@pytest.mark.logs
def test_an_exporter_retries_into_a_healed_sink() -> None:
    with GrpcSink() as sink:
        sink.fail(Fault(status=503, times=1))
        send_span(sink.url, "late", timeout=10)
        assert [request.accepted for request in sink.requests] == [False, True]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (503, grpc.StatusCode.UNAVAILABLE),
        (500, grpc.StatusCode.UNKNOWN),
    ],
)
def test_codes(status: int, code: grpc.StatusCode) -> None:
    with GrpcSink() as sink, grpc.insecure_channel(f"127.0.0.1:{sink.port}") as channel:
        call = channel.unary_unary(EXPORT)
        assert call(b"", timeout=5) == b""
        sink.fail(Fault(status=status))
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
        assert caught.value.code() == code


def test_a_blackhole_ends_with_the_sink() -> None:
    with GrpcSink() as sink:
        sink.fail(Fault(blackhole=True))
        with grpc.insecure_channel(f"127.0.0.1:{sink.port}") as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(EXPORT)(b"", timeout=0.5)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert [request.accepted for request in sink.requests] == [False]
        began = time.monotonic()
    assert time.monotonic() - began < 2
