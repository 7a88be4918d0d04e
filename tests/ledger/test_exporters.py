# SPDX-License-Identifier: Apache-2.0
"""The exporter plugin redacts by itself: a user's exporter around it may add what no provider's guard has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceState

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.ledger.exporter import (
    EnvelopeLogExporter,
    EnvelopeMetricExporter,
    EnvelopeSpanExporter,
)
from otel_agent_instrumentation.testing.capture import capture

SECRET = "sk-" + "ant-api03-" + "a1B2c3D4" * 6
CONTEXT = SpanContext(1, 2, is_remote=False, trace_state=TraceState([("v", SECRET)]))
TOLD = {"note": f"use {SECRET}", "api.key": "hunter2"}
SCOPE = InstrumentationScope("theirs", SECRET)


def lines() -> list[dict[str, Any]]:
    """What is in the ledger, the resource left out."""
    text = "".join(file.read_text() for file in Path("logs/telemetry").glob("*.jsonl"))
    found = [json.loads(one) for one in text.splitlines()]
    assert SECRET not in text
    assert "hunter2" not in text
    return [one for one in found if one["event"] != "resource"]


def test_a_span():
    span = ReadableSpan(
        f"name {SECRET}",
        CONTEXT,
        attributes={**TOLD, semconv.RUN_ID: "run-1", semconv.AGENT_NAME: SECRET},
        events=[Event(SECRET, TOLD, 5)],
        links=[Link(CONTEXT, TOLD)],
        status=Status(StatusCode.ERROR, SECRET),
        start_time=1,
        end_time=9,
        instrumentation_scope=SCOPE,
    )
    with capture():
        EnvelopeSpanExporter().export([span])
    (line,) = lines()
    assert (line["run_id"], line["trace_id"], line["payload"]["name"]) == ("run-1", f"{1:032x}", "name REDACTED")
    assert {
        *("payload.name", "payload.trace_state", "payload.status.description", "payload.scope.version"),
        *("payload.attributes.note", "payload.attributes['api.key']", "payload.attributes['gen_ai.agent.name']"),
        *("payload.events[0].name", "payload.events[0].attributes.note", "payload.links[0].attributes.note"),
        *("payload.events[0].attributes['api.key']", "payload.links[0].attributes['api.key']"),
    } == set(line["payload"]["redacted_fields"])


def test_a_log():
    record = LogRecord(
        timestamp=9, severity_text=SECRET, body={"said": SECRET}, attributes=TOLD, event_name=f"event.{SECRET}"
    )
    with capture():
        EnvelopeLogExporter().export([ReadableLogRecord(record, Resource({}), SCOPE)])
    (line,) = lines()
    assert line["event"] == "event.REDACTED"
    assert line["payload"]["redacted_fields"] == [
        *("payload.attributes.note", "payload.attributes['api.key']", "payload.body.said", "payload.severity"),
    ]


def test_metrics():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("theirs").create_counter("told", unit=SECRET).add(1, TOLD)
    provider.get_meter("theirs").create_counter(f"n.{SECRET}").add(1)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    with capture():
        EnvelopeMetricExporter().export(data)
    (line,) = lines()
    assert line["payload"]["redacted_fields"] == [
        "payload.metrics[0].points[0].attributes.note",
        "payload.metrics[0].points[0].attributes['api.key']",
        "payload.metrics[0].unit",
        "payload.metrics[1].name",
    ]
