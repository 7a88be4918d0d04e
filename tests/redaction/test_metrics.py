# SPDX-License-Identifier: Apache-2.0
"""Metric labels, target_info's resource, exemplars, names; what a Prometheus scrape and any exporter get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest

from otel_agent_instrumentation.ledger.exporter import EnvelopeMetricExporter
from otel_agent_instrumentation.redaction import guard
from otel_agent_instrumentation.redaction.metrics import (
    RedactingMetricExporter,
    redact_metrics_data,
    redact_resource,
)
from otel_agent_instrumentation.redaction.policy import Policy
from otel_agent_instrumentation.testing.capture import capture

CANARY = "sk-" + "ant-api03-0123456789canary0123456789"
RESOURCE = Resource({"service.name": "s", "deploy.api_key": "hunter2", "note": f"x {CANARY}"}, "https://schema")


class Keeping(MetricExporter):
    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.data: list[MetricsData] = []
        self.calls: list[str] = []

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        self.data.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis=10_000) -> bool:
        self.calls.append("flush")
        return True

    def shutdown(self, timeout_millis=30_000, **kwargs) -> None:
        self.calls.append("shutdown")


def record(provider, *, secret: bool = True) -> None:
    meter = provider.get_meter("third.party", attributes={"scope": CANARY} if secret else None)
    values = [CANARY, CANARY + "other"] if secret else ["a", "b"]
    counter, histogram, gauge = meter.create_counter("c"), meter.create_histogram("h"), meter.create_gauge("g")
    exponential = meter.create_histogram("e", description=f"made by {values[0]}")
    meter.create_counter(f"n.{values[0]}").add(1)
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s"):
        for number, value in enumerate(values, start=1):
            labels = {"user": value, "viewed_away": value, "n": 1}
            counter.add(number, labels)
            histogram.record(number, labels)
            exponential.record(number, labels)
            gauge.set(number, labels)


VIEWS = [
    View(instrument_name="h", attribute_keys={"user"}),
    View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation()),
]


def collected(*, secret: bool = True, resource: Resource = RESOURCE, views=VIEWS) -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader], resource, exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False, views=views
    )
    record(provider, secret=secret)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    return data


def points(data: MetricsData) -> dict[str, list]:
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_every_place_of_metrics_data():
    data = collected()
    assert CANARY in repr(data)
    assert CANARY in repr([point.exemplars for point in points(data)["h"]])
    clean = redact_metrics_data(data)
    assert CANARY not in repr(clean) + clean.to_json()
    assert "hunter2" not in clean.to_json()
    assert clean.resource_metrics[0].resource.schema_url == "https://schema"
    assert redact_metrics_data(clean) is clean


def test_exemplars_keep_their_ids_alone():
    (point,) = points(redact_metrics_data(collected(secret=True)))["h"]
    assert point.exemplars
    for exemplar in point.exemplars:
        assert dict(exemplar.filtered_attributes) == {}
        assert exemplar.trace_id
        assert exemplar.span_id


def test_series_that_became_one_are_joined():
    clean = points(redact_metrics_data(collected()))
    assert {name: len(found) for name, found in clean.items()} == {"c": 1, "h": 1, "g": 1, "e": 1, "n.REDACTED": 1}
    assert clean["c"][0].value == 3
    assert (clean["h"][0].count, clean["h"][0].sum, sum(clean["h"][0].bucket_counts)) == (2, 3, 2)
    assert (clean["h"][0].min, clean["h"][0].max) == (1, 2)
    assert clean["g"][0].value == 2


def test_clean_data_is_the_same_object():
    data = collected(secret=False, resource=Resource({"a": "b"}), views=())
    assert redact_metrics_data(data) is data


def test_resource():
    clean = redact_resource(RESOURCE, Policy())
    assert dict(clean.attributes) == {"service.name": "s", "deploy.api_key": "REDACTED", "note": "x REDACTED"}
    assert redact_resource(clean, Policy()) is clean
    assert RESOURCE.attributes["deploy.api_key"] == "hunter2"


def test_a_prometheus_scrape():
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry)
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    guard.install(provider)
    provider.get_meter("m").create_counter("c").add(1, {"user": CANARY, "api.key": "hunter2"})
    scrape = generate_latest(registry).decode()
    provider.shutdown()
    assert CANARY not in scrape
    assert "hunter2" not in scrape
    assert 'deploy_api_key="REDACTED"' in scrape
    assert 'user="REDACTED"' in scrape


def test_an_exporter_wrapped():
    inner = Keeping(preferred_temporality={Counter: AggregationTemporality.DELTA})
    reader = PeriodicExportingMetricReader(RedactingMetricExporter(inner), export_interval_millis=1e9)
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    record(provider)
    assert provider.force_flush()
    provider.shutdown()
    assert len(inner.data) == 2
    assert CANARY not in repr(inner.data)
    counters: list[Any] = [
        metric
        for scope in inner.data[0].resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == "c"
    ]
    assert counters[0].data.aggregation_temporality is AggregationTemporality.DELTA
    assert inner.calls == ["flush", "shutdown"]


def test_a_snapshot_in_the_ledger_lists_what_was_replaced():
    with capture():
        reader = PeriodicExportingMetricReader(EnvelopeMetricExporter(), export_interval_millis=1e9)
        provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
        guard.install(provider)
        meter = provider.get_meter("m")
        meter.create_counter("clean").add(1, {"user": "a"})
        meter.create_counter(f"n.{CANARY}").add(1)
        meter.create_counter("told").add(1, {"user": "a"})
        meter.create_counter("told").add(1, {"user": CANARY, "api.key": "hunter2", "n": 1})
        provider.shutdown()
    lines = [
        json.loads(line) for file in Path("logs/telemetry").glob("*.jsonl") for line in file.read_text().splitlines()
    ]
    (payload,) = [line["payload"] for line in lines if line["event"] == "metrics.snapshot"]
    assert [metric["name"] for metric in payload["metrics"]] == ["clean", "n.REDACTED", "told"]
    path = "payload.metrics[2].points[1].attributes"
    assert payload["redacted_fields"] == ["payload.metrics[1].name", f"{path}.user", f"{path}['api.key']"]
    assert CANARY not in json.dumps(lines)


class Broken(Policy):
    __slots__ = ()

    def attributes(self, attributes):
        raise RuntimeError(CANARY)


@pytest.mark.faults
def test_a_fault_of_ours_exports_nothing(caplog):
    inner, reader = Keeping(), InMemoryMetricReader()
    assert RedactingMetricExporter(inner, Broken()).export(collected()) is MetricExportResult.FAILURE
    assert inner.data == []
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    guard.install(provider, Broken())
    record(provider)
    assert reader.get_metrics_data() is None
    provider.shutdown()
    assert CANARY not in caplog.text
