# SPDX-License-Identifier: Apache-2.0
"""Values of every OTLP kind become plain Python."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_agent_instrumentation.testing.otlp_records import LogRecord, PointRecord, records


def test_values_of_every_kind() -> None:
    request = ExportLogsServiceRequest()
    log = request.resource_logs.add().scope_logs.add().log_records.add(event_name="e")
    body = log.body.kvlist_value
    body.values.add(key="none")
    body.values.add(key="text").value.string_value = "t"
    body.values.add(key="whole").value.int_value = -1
    body.values.add(key="real").value.double_value = 0.5
    body.values.add(key="yes").value.bool_value = True
    body.values.add(key="bytes").value.bytes_value = b"\x00"
    body.values.add(key="list").value.array_value.values.add().int_value = 3
    (record,) = records(request)
    assert isinstance(record, LogRecord)
    expected = {"none": None, "text": "t", "whole": -1, "real": 0.5, "yes": True, "bytes": b"\x00", "list": [3]}
    assert record.body == expected
    assert (record.trace_id, record.span_id) == (None, None)


def test_points_of_every_kind() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    scope.metrics.add(name="g").gauge.data_points.add(as_int=0)
    scope.metrics.add(name="s").sum.data_points.add(as_double=1.5)
    scope.metrics.add(name="h").histogram.data_points.add(
        count=3, sum=6.0, explicit_bounds=[1.0, 2.0], bucket_counts=[1, 1, 1]
    )
    scope.metrics.add(name="e").exponential_histogram.data_points.add(count=2, sum=5.0)
    scope.metrics.add(name="q").summary.data_points.add(count=1, sum=2.0)
    scope.metrics.add(name="nothing")
    points = [point for point in records(request) if isinstance(point, PointRecord)]
    assert [(p.name, p.kind, p.value, p.count, p.sum) for p in points] == [
        ("g", "gauge", 0, None, None),
        ("s", "sum", 1.5, None, None),
        ("h", "histogram", None, 3, 6.0),
        ("e", "exponential_histogram", None, 2, 5.0),
        ("q", "summary", None, 1, 2.0),
    ]
    assert (points[2].bounds, points[2].bucket_counts) == ((1.0, 2.0), (1, 1, 1))
