# SPDX-License-Identifier: Apache-2.0
"""Canaries in every place of every signal, sent over a real OTLP exporter: none in any byte that left."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from otel_agent_instrumentation.redaction import guard
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink

_count = iter(range(1, 10_000))
AN = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2g3H4"
planted: list[str] = []


def canary(text: str = "") -> str:
    """A new secret of one of several formats; with ``text``, one that only its key gives away."""
    number = next(_count)
    mark = f"canary{number:05d}"
    planted.append(mark)
    forms = ["sk-" + f"ant-api03-{mark}{AN}", "gh" + f"p_{mark}{AN}", "AI" + f"za{mark}{AN}", f"amqp://u:{mark}@host/x",
             "Bearer " + f"{mark}{AN}"]  # fmt: skip
    return f"{text}{mark}" if text else f"use {forms[number % len(forms)]} now"


def attributes() -> dict[str, Any]:
    return {
        "http.request.header.authorization": (canary("tok"),),
        "url.full": canary(),
        "list": [canary(), canary()],
        "arguments": '{"a": "{\\"password\\": \\"' + canary("p") + '\\"}"}',
        "client_secret": canary("s"),
        "gen_ai.usage.input_tokens": 42,
    }


def fail(message: str) -> None:
    raise ValueError(message)


def spans(provider, tracer) -> None:
    context = SpanContext(7, 8, is_remote=True)
    with tracer.start_as_current_span(
        f"chat {canary()}", attributes=attributes(), links=[Link(context, attributes())]
    ) as span:
        span.set_attributes({f"late.{key}": value for key, value in attributes().items()})
        span.add_event(canary(), attributes())
        try:
            try:
                fail(canary())
            except ValueError as error:
                raise KeyError(canary()) from error
        except KeyError as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, canary()))
    provider.get_tracer("scope", attributes={"scope": canary()}).start_span("later").end()


def logs(logger) -> None:
    try:
        fail(canary())
    except ValueError as error:
        logger.emit(body=canary(), attributes=attributes(), exception=error, event_name=canary())
    logger.emit(body={"messages": [{"content": canary()}], "api_key": canary("k")})


def metrics(provider) -> None:
    meter = provider.get_meter("m")
    meter.create_counter("c").add(1, {"label": canary(), "token": canary("t"), "model": "gpt-5"})
    meter.create_histogram("h").record(1, {"kept": canary(), "viewed_away": canary()})


@pytest.mark.parametrize("when", ["installed", "built with", "made later"])
def test_no_canary_in_any_byte(when):
    planted.clear()
    with OtlpSink() as sink:
        resource = Resource({"service.name": "s", "api.key": canary("r"), "note": canary()})
        if when == "made later":
            guard.guard_new_providers()
        built: Any = {"active_span_processor": guard.SpanGuard()} if when == "built with" else {}
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False, **built)
        built = {"multi_log_record_processor": guard.LogGuard()} if when == "built with" else {}
        loggers = LoggerProvider(resource=resource, shutdown_on_exit=False, **built)
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(sink.url + "/v1/metrics"), export_interval_millis=1e9)
        meters = MeterProvider(
            [reader], resource, exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False,
            views=[View(instrument_name="h", attribute_keys={"kept"})],
        )  # fmt: skip
        guard.stop_guarding_new_providers()
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(sink.url + "/v1/traces")))
        old_tracer, old_logger = tracers.get_tracer("third.party"), loggers.get_logger("third.party")
        for provider in (tracers, loggers, meters):
            assert guard.install(provider)
            assert guard.self_check(provider)
        # Exporters that the application adds at the end.
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(sink.url + "/v1/traces")))
        loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(sink.url + "/v1/logs")))
        for tracer in (old_tracer, tracers.get_tracer("new")):
            spans(tracers, tracer)
        for logger in (old_logger, loggers.get_logger("new")):
            logs(logger)
        metrics(meters)
        for provider in (tracers, loggers, meters):
            provider.shutdown()
        sent = b"".join(request.body for request in sink.requests)
        assert len(planted) > 60
        assert [mark for mark in planted if mark.encode() in sent] == []
        assert {request.signal for request in sink.requests} == {"traces", "logs", "metrics"}
        ended = sink.spans("chat use REDACTED now") + sink.spans("chat use amqp://u:REDACTED@host/x now")
        chats = [span for span in sink.spans() if span.name.startswith("chat ")]
        assert len(chats) == 4
        assert {span.attributes["gen_ai.usage.input_tokens"] for span in chats} == {42}
        assert len(ended) <= 4
        assert len(sink.logs()) == 4
        (point,) = sink.points("c")
        assert point.attributes["model"] == "gpt-5"
        assert point.attributes["token"] == "REDACTED"


def test_the_libraries_own_handler_for_logging():
    planted.clear()
    with OtlpSink() as sink:
        loggers = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
        guard.install(loggers)
        loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(sink.url + "/v1/logs")))
        emit = loggers.get_logger("handler")
        emit.emit(
            body=logging.makeLogRecord({"msg": canary(), "args": ()}).getMessage(), attributes={"password": canary("x")}
        )
        loggers.shutdown()
        sent = b"".join(request.body for request in sink.requests)
    assert sent
    assert [mark for mark in planted if mark.encode() in sent] == []
