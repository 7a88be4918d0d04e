# SPDX-License-Identifier: Apache-2.0
"""Putting the guard into providers that exist and that come later, taking it out, and the self-check."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_agent_instrumentation.bootstrap import install
from otel_agent_instrumentation.redaction import guard, selfcheck
from otel_agent_instrumentation.redaction.policy import Policy
from otel_agent_instrumentation.testing.capture import capture

CANARY = "sk-" + "ant-api03-0123456789canary0123456789"


@pytest.fixture(autouse=True)
def untouched():
    before = [vars(cls)["__init__"] for cls in CLASSES]
    selfcheck.reset()
    yield
    selfcheck.reset()
    guard.stop_guarding_new_providers()
    assert [vars(cls)["__init__"] for cls in CLASSES] == before


CLASSES = (sdk_trace.TracerProvider, sdk_logs.LoggerProvider, sdk_metrics.MeterProvider)


def tracer_provider(**kwargs) -> Any:
    return sdk_trace.TracerProvider(resource=Resource({}), shutdown_on_exit=False, **kwargs)


def logger_provider() -> Any:
    return sdk_logs.LoggerProvider(resource=Resource({}), shutdown_on_exit=False)


def meter_provider(*readers) -> Any:
    return sdk_metrics.MeterProvider(readers, resource=Resource({}), shutdown_on_exit=False)


def add(provider) -> Any:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def send(tracer) -> None:
    tracer.start_span("s", attributes={"password": CANARY}).end()


def seen(exporter) -> str:
    return "".join(span.to_json() for span in exporter.get_finished_spans())


def test_tracers_exporters_and_spans_from_before_and_after():
    provider = tracer_provider()
    early = add(provider)
    old_tracer = provider.get_tracer("before")
    under_way = old_tracer.start_span("under way")
    assert guard.install(provider)
    late = add(provider)
    send(old_tracer)
    send(provider.get_tracer("after"))
    under_way.set_attribute("password", CANARY)
    under_way.end()
    assert [len(early.get_finished_spans()), len(late.get_finished_spans())] == [3, 3]
    for exporter in (early, late):
        assert CANARY not in seen(exporter)
        assert seen(exporter).count("REDACTED") == 3
    assert guard.self_check(provider)


def test_a_processor_added_through_the_old_composite_gets_no_span_twice():
    provider = tracer_provider()
    exporter = add(provider)
    guard.install(provider)
    send(provider.get_tracer("t"))
    assert provider.force_flush()
    provider.shutdown()
    assert len(exporter.get_finished_spans()) == 1


def test_twice_is_once():
    provider = tracer_provider()
    exporter = add(provider)
    assert guard.install(provider)
    first = provider._active_span_processor
    assert guard.install(provider)
    assert provider._active_span_processor is first
    send(provider.get_tracer("t"))
    assert len(exporter.get_finished_spans()) == 1


def test_uninstall_puts_back_what_was_there():
    provider = tracer_provider()
    exporter = add(provider)
    tracer = provider.get_tracer("t")
    composite, children = provider._active_span_processor, provider._active_span_processor._span_processors
    guard.install(provider)
    under_way = tracer.start_span("under way", attributes={"password": "p"})
    guard.uninstall(provider)
    assert provider._active_span_processor is composite
    assert composite._span_processors == children
    assert tracer.span_processor is composite
    under_way.end()
    send(tracer)
    assert [span.attributes["password"] for span in exporter.get_finished_spans()] == ["REDACTED", CANARY]
    guard.uninstall(provider)
    assert guard.install(provider)
    send(tracer)
    assert exporter.get_finished_spans()[-1].attributes["password"] == "REDACTED"


def test_processors_added_while_guarded_stay_after_uninstall():
    provider = tracer_provider()
    guard.install(provider)
    exporter = add(provider)
    guard.uninstall(provider)
    send(provider.get_tracer("t"))
    assert len(exporter.get_finished_spans()) == 1


@pytest.mark.parametrize("kind", [ConcurrentMultiSpanProcessor, type("Own", (SynchronousMultiSpanProcessor,), {})])
def test_a_composite_of_another_kind_keeps_its_ways(kind):
    composite = kind()
    provider = tracer_provider(active_span_processor=composite)
    early = add(provider)
    assert guard.install(provider)
    late = add(provider)
    send(provider.get_tracer("t"))
    for exporter in (early, late):
        assert len(exporter.get_finished_spans()) == 1
        assert CANARY not in seen(exporter)
    assert guard.self_check(provider)
    guard.uninstall(provider)
    assert provider._active_span_processor is composite
    send(provider.get_tracer("t"))
    assert [len(exporter.get_finished_spans()) for exporter in (early, late)] == [2, 2]


def test_loggers_from_before_and_after():
    provider = logger_provider()
    early: Any = InMemoryLogRecordExporter()
    late: Any = InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(early))
    loggers = [provider.get_logger("before"), provider.get_logger("uncached", attributes={"a": "b"})]
    assert guard.install(provider)
    assert guard.install(provider)
    provider.add_log_record_processor(SimpleLogRecordProcessor(late))
    loggers.append(provider.get_logger("after"))
    for logger in loggers:
        logger.emit(body=f"say {CANARY}")
    for exporter in (early, late):
        assert [data.log_record.body for data in exporter.get_finished_logs()] == ["say REDACTED"] * 3
    assert guard.self_check(provider)
    guard.uninstall(provider)
    loggers[0].emit(body=CANARY)
    assert early.get_finished_logs()[-1].log_record.body == CANARY
    assert not isinstance(provider._multi_log_record_processor, guard.LogGuard)


def labels(reader) -> list[dict[str, object]]:
    data: Any = reader.get_metrics_data()
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    return [dict(point.attributes) for point in points]


def test_readers_from_before_and_after():
    early, late = InMemoryMetricReader(), InMemoryMetricReader()
    provider = meter_provider(early)
    assert guard.install(provider)
    assert guard.install(provider)
    provider.add_metric_reader(late)
    provider.get_meter("m").create_counter("c").add(1, {"password": CANARY, "a": "b"})
    assert labels(early) == labels(late) == [{"password": "REDACTED", "a": "b"}]
    assert guard.self_check(provider)
    guard.uninstall(provider)
    assert labels(early) == [{"password": CANARY, "a": "b"}]
    assert "collect" not in vars(provider._measurement_consumer)
    provider.shutdown()


def test_providers_that_any_sdk_makes_later():
    class Vendor(sdk_trace.TracerProvider):
        def __init__(self) -> None:
            super().__init__(resource=Resource({}), shutdown_on_exit=False)
            self.exporter = add(self)

    originals = [vars(cls)["__init__"] for cls in CLASSES]
    guard.guard_new_providers()
    guard.guard_new_providers()
    vendor, private = Vendor(), tracer_provider()
    exporter = add(private)
    for provider in (vendor, private, logger_provider(), meter_provider(InMemoryMetricReader())):
        if provider in (vendor, private):
            send(provider.get_tracer("t"))
        assert guard.self_check(provider)
    assert CANARY not in seen(vendor.exporter) + seen(exporter)
    assert len(vendor.exporter.get_finished_spans()) == 1
    guard.stop_guarding_new_providers()
    guard.stop_guarding_new_providers()
    assert [vars(cls)["__init__"] for cls in CLASSES] == originals
    assert type(tracer_provider()._active_span_processor) is SynchronousMultiSpanProcessor


def test_someone_who_wrapped_the_class_after_us_keeps_their_wrapper(monkeypatch):
    guard.guard_new_providers()
    ours, callable_ours = vars(sdk_trace.TracerProvider)["__init__"], sdk_trace.TracerProvider.__init__

    def theirs(self, *args, **kwargs):
        callable_ours(self, *args, **kwargs)
        self.theirs = True

    with monkeypatch.context() as patch:
        patch.setattr(sdk_trace.TracerProvider, "__init__", theirs)
        guard.stop_guarding_new_providers()
        provider = tracer_provider()
        assert provider.theirs
        assert type(provider._active_span_processor) is SynchronousMultiSpanProcessor
    # What monkeypatch put back is our inert wrapper; the original is below it.
    sdk_trace.TracerProvider.__init__ = ours.__wrapped__


def test_a_provider_that_was_built_with_the_guard():
    provider = tracer_provider(active_span_processor=guard.SpanGuard())
    own = provider._active_span_processor
    assert guard.install(provider)
    assert provider._active_span_processor is own
    assert guard.self_check(provider)
    guard.uninstall(provider)
    assert type(provider._active_span_processor) is SynchronousMultiSpanProcessor


NOT_THE_SDKS = [
    trace.ProxyTracerProvider(), trace.NoOpTracerProvider(), _logs.NoOpLoggerProvider(), metrics.NoOpMeterProvider(),
    None, object(),
]  # fmt: skip


@pytest.mark.parametrize("provider", NOT_THE_SDKS)
def test_what_is_not_the_sdks_is_left_alone(provider):
    assert not guard.install(provider)
    guard.uninstall(provider)


@pytest.mark.logs
def test_self_check_sees_what_is_wrong():
    provider = tracer_provider()
    tracer = provider.get_tracer("t")
    assert not guard.self_check(provider)
    assert not guard.content_allowed()
    assert guard.unsafe_providers() == ("TracerProvider",)
    guard.install(provider)
    assert guard.self_check(provider)
    assert guard.content_allowed()
    tracer.span_processor = SynchronousMultiSpanProcessor()
    assert not guard.self_check(provider)


@pytest.mark.logs
def test_self_check_sees_a_policy_that_passes_secrets():
    provider = tracer_provider(active_span_processor=guard.SpanGuard(Policy(find=lambda text, judge: [])))
    assert not guard.self_check(provider)


def test_self_check_sends_nothing():
    provider = tracer_provider()
    exporter = add(provider)
    logs = logger_provider()
    records = InMemoryLogRecordExporter()
    logs.add_log_record_processor(SimpleLogRecordProcessor(records))
    for each in (provider, logs):
        guard.install(each)
        assert guard.self_check(each)
    assert exporter.get_finished_spans() == ()
    assert records.get_finished_logs() == ()


def test_a_canary_goes_once_through_each_provider(monkeypatch):
    """Where content is on, at the start; the first client finds it proven, and the guard is looked at again."""
    looked: list[tuple[str, bool]] = []
    safe = selfcheck._is_safe

    def look(provider, *, values):
        looked.append((type(provider).__name__, values))
        return safe(provider, values=values)

    monkeypatch.setattr(selfcheck, "_is_safe", look)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with capture():
        install.ready()
    sent = [name for name, values in looked if values]
    assert sorted(sent) == ["LoggerProvider", "MeterProvider", "TracerProvider"]
    assert len(looked) > len(sent)


@pytest.mark.faults
@pytest.mark.parametrize("make", [tracer_provider, logger_provider, meter_provider])
def test_a_seam_that_moved_costs_one_warning_and_the_content(make, caplog):
    seams = ("_active_span_processor", "_multi_log_record_processor", "_measurement_consumer")
    providers = [make(), make()]
    for provider in providers:
        for seam in seams:
            vars(provider).pop(seam, None)
        assert not guard.install(provider)
        assert not guard.self_check(provider)
    assert not guard.content_allowed()
    assert len([record for record in caplog.records if "content capture is off" in record.message]) == 2
