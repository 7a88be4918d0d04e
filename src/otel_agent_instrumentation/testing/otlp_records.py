# SPDX-License-Identifier: Apache-2.0
"""OTLP messages as plain Python: one flat record for each span, log record and metric point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import (
        ExponentialHistogramDataPoint,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
        SummaryDataPoint,
    )
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    DataPoint: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint

Attributes: TypeAlias = dict[str, Any]
ExportRequest: TypeAlias = ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest

REQUESTS: dict[str, type[ExportRequest]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_TEMPORALITIES = ("unspecified", "delta", "cumulative")


@dataclass(frozen=True, slots=True)
class Scope:
    """The instrumentation scope of a record."""

    name: str
    version: str
    schema_url: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event of a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A link of a span; ids in hex."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A span. Ids in hex, ``parent_id`` None for a root; ``kind`` and ``status`` in lower-case words."""

    resource: Attributes
    scope: Scope
    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    kind: str
    attributes: Attributes
    status: str
    status_message: str
    events: tuple[SpanEvent, ...]
    links: tuple[SpanLink, ...]
    start_ns: int
    end_ns: int
    trace_state: str


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record or event. Ids in hex, None outside a span."""

    resource: Attributes
    scope: Scope
    event_name: str
    body: Any
    severity: int
    severity_text: str
    attributes: Attributes
    trace_id: str | None
    span_id: str | None
    time_ns: int
    observed_ns: int


@dataclass(frozen=True, slots=True)
class PointRecord:
    """A point of a metric. ``value`` is set for sums and gauges; ``sum``, ``count`` and buckets for histograms.

    ``kind`` is gauge, sum, histogram, exponential_histogram or summary. Each exemplar is its filtered attributes with
    ``value``, ``trace_id`` and ``span_id`` beside them.
    """

    resource: Attributes
    scope: Scope
    name: str
    kind: str
    unit: str
    description: str
    temporality: str
    monotonic: bool
    attributes: Attributes
    value: float | None
    sum: float | None
    count: int | None
    bounds: tuple[float, ...]
    bucket_counts: tuple[int, ...]
    exemplars: tuple[Attributes, ...]
    start_ns: int
    time_ns: int


Record: TypeAlias = SpanRecord | LogRecord | PointRecord


def records(request: ExportRequest) -> Iterator[Record]:
    """Yield the records of one export request."""
    if isinstance(request, ExportTraceServiceRequest):
        yield from _spans(request)
    elif isinstance(request, ExportLogsServiceRequest):
        yield from _logs(request)
    else:
        yield from _points(request)


def _spans(request: ExportTraceServiceRequest) -> Iterator[SpanRecord]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for part in group.scope_spans:
            scope = _scope(part.scope, part.schema_url)
            for span in part.spans:
                yield _span(span, resource, scope)


def _span(span: Span, resource: Attributes, scope: Scope) -> SpanRecord:
    return SpanRecord(
        resource=resource,
        scope=scope,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        kind=_KINDS[span.kind],
        attributes=_attributes(span.attributes),
        status=_STATUSES[span.status.code],
        status_message=span.status.message,
        events=tuple(SpanEvent(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
        links=tuple(SpanLink(k.trace_id.hex(), k.span_id.hex(), _attributes(k.attributes)) for k in span.links),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        trace_state=span.trace_state,
    )


def _logs(request: ExportLogsServiceRequest) -> Iterator[LogRecord]:
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for part in group.scope_logs:
            scope = _scope(part.scope, part.schema_url)
            for log in part.log_records:
                yield LogRecord(
                    resource=resource,
                    scope=scope,
                    event_name=log.event_name,
                    body=_plain(log.body),
                    severity=log.severity_number,
                    severity_text=log.severity_text,
                    attributes=_attributes(log.attributes),
                    trace_id=log.trace_id.hex() or None,
                    span_id=log.span_id.hex() or None,
                    time_ns=log.time_unix_nano,
                    observed_ns=log.observed_time_unix_nano,
                )


def _points(request: ExportMetricsServiceRequest) -> Iterator[PointRecord]:
    for group in request.resource_metrics:
        resource = _attributes(group.resource.attributes)
        for part in group.scope_metrics:
            scope = _scope(part.scope, part.schema_url)
            for metric in part.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    yield _point(metric, point, resource, scope)


def _point(metric: Metric, point: DataPoint, resource: Attributes, scope: Scope) -> PointRecord:
    kind = metric.WhichOneof("data") or ""
    data = getattr(metric, kind)
    number: Any = cast("Any", point).WhichOneof("value") if kind in {"gauge", "sum"} else None
    return PointRecord(
        resource=resource,
        scope=scope,
        name=metric.name,
        kind=kind,
        unit=metric.unit,
        description=metric.description,
        temporality=_TEMPORALITIES[getattr(data, "aggregation_temporality", 0)],
        monotonic=getattr(data, "is_monotonic", False),
        attributes=_attributes(point.attributes),
        value=getattr(point, number) if number else None,
        sum=getattr(point, "sum", None),
        count=getattr(point, "count", None),
        bounds=tuple(getattr(point, "explicit_bounds", ())),
        bucket_counts=tuple(getattr(point, "bucket_counts", ())),
        exemplars=tuple(_exemplar(exemplar) for exemplar in getattr(point, "exemplars", ())),
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
    )


def _exemplar(exemplar: Any) -> Attributes:
    value = getattr(exemplar, exemplar.WhichOneof("value") or "as_double")
    ids = {"trace_id": exemplar.trace_id.hex(), "span_id": exemplar.span_id.hex()}
    return {**_attributes(exemplar.filtered_attributes), **ids, "value": value}


def _scope(scope: InstrumentationScope, schema_url: str) -> Scope:
    return Scope(scope.name, scope.version, schema_url, _attributes(scope.attributes))


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)
