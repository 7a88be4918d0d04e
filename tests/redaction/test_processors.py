# SPDX-License-Identifier: Apache-2.0
"""The guard's processors: every place of a span and a log record, the clean path, and faults."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otel_agent_instrumentation.core import contain
from otel_agent_instrumentation.redaction.matcher import Matcher
from otel_agent_instrumentation.redaction.policy import Policy
from otel_agent_instrumentation.redaction.processors import LogGuard, SpanGuard
from otel_agent_instrumentation.redaction.rules import Hit, build
from otel_agent_instrumentation.semconv import REDACTED_FIELDS, REDACTION_FAULT

CANARY = "sk-" + "ant-api03-0123456789canary0123456789"
STATE = TraceState([("vendor", CANARY)])
OTHER = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=STATE)


class Last(SpanProcessor):
    """Keeps what it was handed."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.ending: list[Any] = []
        self.ended: list[Any] = []

    def on_start(self, span: Any, parent_context=None) -> None:
        links = [dict(link.attributes) for link in span.links]
        self.started.append({"name": span.name, "links": links, **span.attributes, **span.resource.attributes})

    def on_end(self, span) -> None:
        self.ended.append(span)


class Ending(Last):
    def _on_ending(self, span) -> None:
        self.ending.append(json.loads(span.to_json()))


def provider(*children, policy=None, resource=None, **kwargs) -> Any:
    made = TracerProvider(
        active_span_processor=SpanGuard(policy),
        resource=resource or Resource({"a": "b"}),
        shutdown_on_exit=False,
        **kwargs,
    )
    for child in children:
        made.add_span_processor(child)
    return made


def dirty_span(tracer) -> None:
    span = tracer.start_span(
        f"chat {CANARY}",
        attributes={"password": CANARY, "start": f"x {CANARY}", "n": 1, f"key {CANARY}": 1},
        links=[Link(OTHER, {"link": CANARY})],
    )
    span.set_attribute("late", (CANARY, "ok"))
    span.add_event(f"event {CANARY}", {"where": f"in {CANARY}", "token": "t", "k": 1}, timestamp=5)
    span.add_link(OTHER, {"api_key": "short"})
    try:
        try:
            int(f"cause {CANARY}")
        except ValueError as error:
            raise RuntimeError(f"effect {CANARY}") from error
    except RuntimeError as error:
        span.record_exception(error, {"extra": CANARY})
        span.set_status(Status(StatusCode.ERROR, f"failed: {CANARY}"))
    span.end()


def test_every_place_of_a_span():
    exporter: Any = InMemorySpanExporter()
    last, ending = Last(), Ending()
    resource = Resource({"service.name": "s", "deploy.token": CANARY, "url": "http://u:hunter2@h/"})
    tracers = provider(SimpleSpanProcessor(exporter), last, ending, resource=resource)
    tracer = tracers.get_tracer("third.party", attributes={"scope": CANARY})
    dirty_span(tracer)
    (span,) = exporter.get_finished_spans()
    for seen in (span.to_json(), repr(last.started), repr(ending.started), repr(ending.ending)):
        assert CANARY not in seen
        assert "hunter2" not in seen
        assert "REDACTED" in seen
    scope = span.instrumentation_scope
    assert (scope.name, dict(scope.attributes)) == ("third.party", {"scope": "REDACTED"})
    assert span.name == "chat REDACTED"
    attributes = dict(span.attributes)
    assert attributes.pop(REDACTED_FIELDS) == (
        "attributes.late[0]", "attributes.password", "attributes.start", "attributes['key REDACTED']",
        "events[0]", "events[1]", "links[0]", "links[1]", "name", "status",
    )  # fmt: skip
    assert attributes == {
        "password": "REDACTED", "start": "x REDACTED", "n": 1, "key REDACTED": 1, "late": ("REDACTED", "ok"),
    }  # fmt: skip
    event, exception = span.events
    assert (event.name, event.timestamp) == ("event REDACTED", 5)
    assert dict(event.attributes) == {"where": "in REDACTED", "token": "REDACTED", "k": 1}
    assert exception.attributes["exception.message"] == "effect REDACTED"
    assert exception.attributes["exception.stacktrace"].count("REDACTED") >= 2
    assert "direct cause" in exception.attributes["exception.stacktrace"]
    assert [dict(link.attributes) for link in span.links] == [{"link": "REDACTED"}, {"api_key": "REDACTED"}]
    assert [link.context.trace_id for link in span.links] == [0xABC, 0xABC]
    assert CANARY not in repr([link.context for link in span.links])
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "failed: REDACTED")
    assert dict(span.resource.attributes) == {
        "service.name": "s",
        "deploy.token": "REDACTED",
        "url": "http://u:REDACTED@h/",
    }
    assert dict(tracers.resource.attributes)["deploy.token"] == CANARY


def test_ids_times_kind_and_parent_stay():
    exporter: Any = InMemorySpanExporter()
    tracer = provider(SimpleSpanProcessor(exporter)).get_tracer("t")
    with tracer.start_as_current_span("parent") as parent:
        child = tracer.start_span("child", attributes={"password": "x"}, start_time=11)
        child.end(end_time=22)
    span = exporter.get_finished_spans()[0]
    assert span.context == child.get_span_context()
    assert span.parent == parent.get_span_context()
    assert (span.start_time, span.end_time, span.kind) == (11, 22, child.kind)


def test_a_trace_state_from_the_wire():
    exporter: Any = InMemorySpanExporter()
    tracers = provider(SimpleSpanProcessor(exporter))
    parent = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1), trace_state=OTHER.trace_state)
    tracers.get_tracer("t").start_span("s", context=set_span_in_context(NonRecordingSpan(parent))).end()
    (span,) = exporter.get_finished_spans()
    assert CANARY not in repr((span.context, span.parent))
    assert (span.context.trace_id, span.parent.span_id) == (5, 6)


def test_dropped_counts_are_kept():
    exporter: Any = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=2, max_events=1, max_links=1, max_event_attributes=1)
    span = provider(SimpleSpanProcessor(exporter), span_limits=limits).get_tracer("t").start_span("s")
    span._attributes.dropped += 3
    span.set_attributes({"password": "x", "b": "c"})
    for _ in range(3):
        span._events.append(copy.copy(_event()))
        span._links.append(Link(OTHER, {"a": "b"}))
    span.end()
    (seen,) = exporter.get_finished_spans()
    assert (seen.dropped_attributes, seen.dropped_events, seen.dropped_links) == (3, 2, 2)
    fields = ("attributes.password", "events[0]", "links[0]")
    assert dict(seen.attributes) == {"password": "REDACTED", "b": "c", REDACTED_FIELDS: fields}
    assert seen.events[0].dropped_attributes == 4


def _event():
    from opentelemetry.attributes import BoundedAttributes
    from opentelemetry.sdk.trace import Event

    attributes = BoundedAttributes(attributes={"secret": "x"})
    attributes.dropped = 4
    return Event("e", attributes, 1)


def test_a_clean_span_is_the_same_object():
    last = Last()
    guard = provider(last)._active_span_processor
    tracer = provider(last).get_tracer("t")
    span = tracer.start_span(
        "s", attributes={"a": "b", "gen_ai.usage.input_tokens": 5}, links=[Link(SpanContext(1, 2, True))]
    )
    span.add_event("e", {"x": ["y"]})
    span.end()
    readable = span._readable_span()
    assert guard.redact(readable) is readable
    guard.on_end(readable)
    assert last.ended[-1] is readable


def test_what_was_redacted_is_clean():
    last = Last()
    tracers = provider(last)
    dirty_span(tracers.get_tracer("t"))
    (span,) = last.ended
    assert tracers._active_span_processor.redact(span) is span


def test_a_batch_processor_and_one_added_late_are_behind_the_guard():
    early, late = InMemorySpanExporter(), InMemorySpanExporter()
    tracers = provider(BatchSpanProcessor(early))
    tracer = tracers.get_tracer("t")
    dirty_span(tracer)
    tracers.add_span_processor(BatchSpanProcessor(late))
    dirty_span(tracer)
    tracers.shutdown()
    assert [len(early.get_finished_spans()), len(late.get_finished_spans())] == [2, 1]
    assert CANARY not in "".join(span.to_json() for span in (*early.get_finished_spans(), *late.get_finished_spans()))


class BrokenPolicy(Policy):
    """Fails where a fault of ours would: outside of any rule."""

    __slots__ = ("armed",)

    def __init__(self) -> None:
        super().__init__()
        self.armed = True

    def attributes(self, attributes):
        if self.armed:
            raise RuntimeError(CANARY)
        return super().attributes(attributes)


IN_ONE_PLACE: dict[str, Any] = {
    "name": {"name": CANARY},
    "attribute": {"attributes": {"k": CANARY}},
    "link": {"links": [Link(SpanContext(3, 4, is_remote=True), {"k": CANARY})]},
    "link's trace state": {"links": [Link(OTHER)]},
    "trace state": {"context": set_span_in_context(NonRecordingSpan(OTHER))},
    "event": {},
    "event's name": {},
    "status": {},
    "scope": {},
    "resource": {},
}


@pytest.mark.parametrize("place", IN_ONE_PLACE)
def test_a_secret_in_one_place_alone(place):
    exporter: Any = InMemorySpanExporter()
    resource = Resource({"k": CANARY if place == "resource" else "v"})
    tracers = provider(SimpleSpanProcessor(exporter), resource=resource)
    tracers.get_tracer("t").start_span("one that is clean").end()
    tracer = tracers.get_tracer(CANARY if place == "scope" else "t")
    span: Any = tracer.start_span(**{"name": "s"} | IN_ONE_PLACE[place])
    if place.startswith("event"):
        span.add_event(*((CANARY, {}) if place == "event's name" else ("e", {"k": CANARY})))
    if place == "status":
        span.set_status(Status(StatusCode.ERROR, CANARY))
    span.end()
    for told in exporter.get_finished_spans():
        links = [(link.context, dict(link.attributes or {})) for link in told.links]
        assert CANARY not in f"{told.to_json()} {told.context} {told.parent} {links} {told.instrumentation_scope}"


@pytest.mark.faults
def test_a_fault_passes_no_trace_state():
    exporter: Any = InMemorySpanExporter()
    tracers = provider(SimpleSpanProcessor(exporter), policy=BrokenPolicy())
    parent = set_span_in_context(NonRecordingSpan(OTHER))
    tracers.get_tracer("t").start_span("s", context=parent).end()
    (span,) = exporter.get_finished_spans()
    assert span.name == "REDACTED:error"
    assert CANARY not in f"{span.context} {span.parent}"
    assert (span.context.trace_id, span.parent.span_id) == (OTHER.trace_id, OTHER.span_id)


@pytest.mark.faults
def test_a_fault_of_ours_passes_the_span_without_its_values(caplog):
    exporter: Any = InMemorySpanExporter()
    last = Last()
    tracers = provider(SimpleSpanProcessor(exporter), last, policy=BrokenPolicy(), resource=Resource({"x": CANARY}))
    tracer = tracers.get_tracer("t")
    dirty_span(tracer)
    (span,) = exporter.get_finished_spans()
    assert CANARY not in span.to_json() + repr(last.started) + caplog.text
    assert dict(span.attributes) == {REDACTION_FAULT: True}
    assert (span.name, span.status.status_code, span.context.is_valid) == ("REDACTED:error", StatusCode.ERROR, True)
    assert span.dropped_events == 2
    assert last.started == [{"name": "REDACTED:error", REDACTION_FAULT: True, "links": []}]
    assert contain.faults() == {"redaction.on_start": 1, "redaction.on_end": 1}


@pytest.mark.faults
def test_every_third_value_faulty_leaks_nothing():
    calls = iter(range(10_000))

    matcher = Matcher(build((), (), ()))

    def find(text: str, judge: Any) -> list[Hit]:
        if next(calls) % 3 == 0:
            raise ValueError(text)
        return matcher.find(text, judge)

    exporter: Any = InMemorySpanExporter()
    tracers = provider(SimpleSpanProcessor(exporter), policy=Policy(find=find))
    for _ in range(20):
        dirty_span(tracers.get_tracer("t"))
    spans = exporter.get_finished_spans()
    assert len(spans) == 20
    seen = "".join(span.to_json() for span in spans)
    assert CANARY not in seen
    assert "REDACTED:error" in seen
    assert all(span.attributes["n"] == 1 for span in spans)


# --- logs ---


class LastLog(LogRecordProcessor):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_emit(self, log_record) -> None:
        self.seen.append(log_record)

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def loggers(*children, policy=None, resource=None) -> Any:
    made = LoggerProvider(
        resource=resource or Resource({"a": "b"}), multi_log_record_processor=LogGuard(policy), shutdown_on_exit=False
    )
    for child in children:
        made.add_log_record_processor(child)
    return made


def emit_dirty(logger) -> None:
    try:
        int(f"cause {CANARY}")
    except ValueError as error:
        logger.emit(
            body={"text": f"say {CANARY}", "password": "p", "n": 1},
            attributes={"a": CANARY, "api_key": "k", "nested": {"x": [CANARY]}, "n": 1},
            event_name=f"event {CANARY}",
            severity_number=SeverityNumber.INFO,
            severity_text=f"INFO {CANARY}",
            exception=error,
        )


def test_every_place_of_a_log_record():
    simple, batch, last = InMemoryLogRecordExporter(), InMemoryLogRecordExporter(), LastLog()
    logs = loggers(
        SimpleLogRecordProcessor(simple),
        BatchLogRecordProcessor(batch),
        last,
        resource=Resource({"deploy.token": CANARY}),
    )
    emit_dirty(logs.get_logger("third.party", attributes={"scope": CANARY}))
    logs.shutdown()
    for exporter in (simple, batch):
        data: Any = exporter.get_finished_logs()[0]
        record = data.log_record
        assert CANARY not in data.to_json()
        assert record.body == {"text": "say REDACTED", "password": "REDACTED", "n": 1}
        assert record.event_name == "event REDACTED"
        assert record.severity_text == "INFO REDACTED"
        assert record.attributes["exception.message"] == "invalid literal for int() with base 10: 'cause REDACTED'"
        assert CANARY not in record.attributes["exception.stacktrace"]
        assert record.attributes["nested"] == {"x": ("REDACTED",)}
        assert (record.attributes["n"], record.attributes["api_key"]) == (1, "REDACTED")
        assert dict(data.resource.attributes) == {"deploy.token": "REDACTED"}
        assert dict(data.instrumentation_scope.attributes) == {"scope": "REDACTED"}
    assert last.seen[0].log_record.exception is None


def test_the_senders_own_record_is_not_changed_and_a_clean_one_is_passed_on():
    last = LastLog()
    logger = loggers(last).get_logger("t")
    dirty: Any = LogRecord(body=f"say {CANARY}", attributes={"password": "p"}, severity_number=SeverityNumber.INFO)
    clean = LogRecord(body="fine", attributes={"a": "b"}, severity_number=SeverityNumber.INFO)
    logger.emit(dirty)
    logger.emit(clean)
    assert (dirty.body, dirty.attributes["password"]) == (f"say {CANARY}", "p")
    assert [seen.log_record.body for seen in last.seen] == ["say REDACTED", "fine"]
    assert last.seen[1].log_record is clean
    last.seen[0].log_record.attributes["added"] = "later processors may"


def test_dropped_attributes_of_a_record_are_kept():
    last = LastLog()
    guard = loggers(last)._multi_log_record_processor
    loggers(last).get_logger("t").emit(LogRecord(body="x", attributes={"password": "p"}))
    record = last.seen[0]
    record.log_record.attributes.dropped = 7
    record.log_record.body = CANARY
    assert guard.redact(record).dropped_attributes == 7


@pytest.mark.faults
def test_a_fault_of_ours_passes_the_record_without_its_values(caplog):
    last = LastLog()
    emit_dirty(loggers(last, policy=BrokenPolicy(), resource=Resource({"x": CANARY})).get_logger("t"))
    (seen,) = last.seen
    record = seen.log_record
    assert (record.body, record.event_name, record.severity_number) == ("REDACTED:error", None, SeverityNumber.INFO)
    assert dict(record.attributes) == {REDACTION_FAULT: True}
    assert record.exception is None
    assert dict(seen.resource.attributes) == {}
    assert CANARY not in caplog.text
