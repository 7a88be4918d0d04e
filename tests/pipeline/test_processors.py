# SPDX-License-Identifier: Apache-2.0
"""The processors in the SDK's providers: what they take, what they cost in memory, and that they never raise."""

from __future__ import annotations

import logging
import threading
import tracemalloc
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import set_value
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from opentelemetry.trace import SpanContext, TraceFlags

from otel_agent_instrumentation.pipeline import sizes
from otel_agent_instrumentation.pipeline.outcome import DELIVERED, Outcome
from otel_agent_instrumentation.pipeline.processors import AgentLogProcessor, AgentSpanProcessor
from otel_agent_instrumentation.pipeline.queue import Limits

LATER = Limits(delay=60.0)


def spans_to(*exporters, sampler: Sampler | None = None, limits: Limits = LATER):
    provider = TracerProvider(shutdown_on_exit=False, sampler=sampler)
    processors = [AgentSpanProcessor(exporter, limits) for exporter in exporters]
    for processor in processors:
        provider.add_span_processor(processor)
    return provider, provider.get_tracer("test"), processors


def logs_to(exporter):
    provider = LoggerProvider(shutdown_on_exit=False)
    processor = AgentLogProcessor(exporter, LATER)
    provider.add_log_record_processor(processor)
    return provider, provider.get_logger("test"), processor


class Stuck:
    name = "stuck"
    renewable = False

    def __init__(self) -> None:
        self.release = threading.Event()
        self.entered = threading.Event()

    def attempt(self, batch, timeout) -> Outcome:
        self.entered.set()
        self.release.wait(30)
        return DELIVERED

    def renew(self) -> None: ...

    def close(self) -> None: ...


def test_each_exporter_has_its_own_queue():
    first, second = InMemorySpanExporter(), InMemorySpanExporter()
    stuck = Stuck()
    provider, tracer, processors = spans_to(first, stuck, second)
    tracer.start_span("one").end()
    assert processors[0].force_flush(5000)
    assert processors[2].force_flush(5000)
    assert [len(exporter.get_finished_spans()) for exporter in (first, second)] == [1, 1]
    assert not processors[1].force_flush(100)
    stuck.release.set()
    provider.shutdown()
    assert [processor.accounts.snapshot().exported for processor in processors] == [1, 1, 1]


def test_unsampled_spans_are_not_queued():
    provider, tracer, (processor,) = spans_to(InMemorySpanExporter(), sampler=ALWAYS_OFF)
    tracer.start_span("one").end()
    processor.on_end(ReadableSpan("no context"))
    recorded_only = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    processor.on_end(ReadableSpan("unsampled", context=recorded_only))
    assert processor.accounts.snapshot().emitted == 0
    provider.shutdown()


@pytest.mark.faults
def test_a_span_that_cannot_be_weighed_does_not_raise():
    processor = AgentSpanProcessor(InMemorySpanExporter(), LATER)
    broken: Any = object()
    processor.on_end(broken)
    processor.shutdown()


@pytest.mark.logs
def test_an_sdk_exporter_that_fails_is_final_and_counted():
    class Failing(SpanExporter):
        def export(self, spans):
            return SpanExportResult.FAILURE

    provider, tracer, (processor,) = spans_to(Failing())
    tracer.start_span("one").end()
    processor.force_flush(5000)
    assert processor.accounts.snapshot().dropped == {"export_failed": 1}
    provider.shutdown()


def test_a_log_record_is_queued_without_its_context_and_its_exception():
    exporter = InMemoryLogRecordExporter()
    provider, logger, processor = logs_to(exporter)
    kept = []
    other: Any = type("Other", (), {"on_emit": lambda _, record: kept.append(record)})()
    provider.add_log_record_processor(other)
    record = LogRecord(body="b", severity_number=SeverityNumber.INFO, exception=ValueError("x"))
    record.context = set_value("large", "object")
    logger.emit(record)
    assert processor.force_flush(5000)
    record = exporter.get_finished_logs()[0].log_record
    assert (record.body, record.severity_number, record.exception) == ("b", SeverityNumber.INFO, None)
    assert record.attributes
    assert record.attributes["exception.type"] == "ValueError"
    assert not record.context
    # The record that the other processors see is left alone.
    assert isinstance(kept[0].log_record.exception, ValueError)
    processor.shutdown()


def test_what_the_delivery_itself_logs_is_no_telemetry():
    class Chatty(InMemoryLogRecordExporter):
        def export(self, batch):
            logger.emit(LogRecord(body="exporting"))
            return super().export(batch)

    exporter = Chatty()
    _, logger, processor = logs_to(exporter)
    logger.emit(LogRecord(body="mine"))
    assert processor.force_flush(5000)
    assert processor.force_flush(5000)
    assert [item.log_record.body for item in exporter.get_finished_logs()] == ["mine"]
    processor.shutdown()


@pytest.mark.logs
def test_a_stuck_exporter_does_not_fill_the_memory():
    stuck = Stuck()
    limit = 16 * 1024 * 1024
    provider, tracer, (processor,) = spans_to(stuck, limits=Limits(delay=0.01, max_bytes=limit))
    tracer.start_span("first").end()
    assert stuck.entered.wait(5)
    tracemalloc.start()
    try:
        for number in range(1500):
            tracer.start_span("big", attributes={"text": chr(97 + number % 26) * 500_000}).end()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 1500 x 500 kB are 715 MiB.
    assert held < limit * 1.1
    snapshot = processor.accounts.snapshot()
    assert snapshot.queued_bytes <= limit
    assert snapshot.emitted == 1501 == snapshot.lost + snapshot.queued
    stuck.release.set()
    provider.shutdown()


@pytest.mark.parametrize(
    "text", ["a" * 2_000_000, "ä" * 2_000_000, "\N{WHITE SMILING FACE}" * 1_000_000, "\N{GRINNING FACE}" * 500_000]
)
def test_the_weight_of_text_is_its_memory_not_its_length(text):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    span: Any = tracer.start_span("x", attributes={"text": text})
    assert sizes.of_span(span._readable_span()) >= text.__sizeof__()


def test_every_place_of_a_span_and_a_log_record_is_weighed():
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    big = "x" * 1_000_000
    span: Any = tracer.start_span("x", attributes={"list": [big, big], "scalar": 1})
    span.add_event("event", {"text": big})
    assert sizes.of_span(span._readable_span()) > 3_000_000  # pyright: ignore[reportAttributeAccessIssue] < 3_020_000
    exporter = InMemoryLogRecordExporter()
    _, logger, processor = logs_to(exporter)
    logger.emit(LogRecord(body={"a": [big, {"b": big}]}, attributes={"c": {"d": big}}))
    assert 3_000_000 < processor.accounts.snapshot().queued_bytes < 3_020_000
    processor.shutdown()


def test_the_fixed_cost_of_a_span_is_not_underestimated():
    stuck = Stuck()
    provider, tracer, (processor,) = spans_to(stuck, limits=Limits(delay=60, max_items=5000, batch_items=5000))
    tracemalloc.start()
    try:
        for number in range(1000):
            attributes = {f"gen_ai.attribute.{index}": number * 1000 + index for index in range(15)}
            tracer.start_span("span", attributes=attributes).end()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    weighed = processor.accounts.snapshot().queued_bytes
    assert held * 0.5 < weighed < held * 2
    stuck.release.set()
    provider.shutdown()


def test_nothing_is_logged_by_a_healthy_pipeline(caplog):
    with caplog.at_level(logging.DEBUG, logger="otel_agent_instrumentation"):
        provider, tracer, _ = spans_to(InMemorySpanExporter())
        for _ in range(600):
            tracer.start_span("x").end()
        provider.shutdown()
    assert not caplog.records
