# SPDX-License-Identifier: Apache-2.0
"""The exporter plugin `agent_envelope`: other people's spans, logs and metric snapshots as lines of the ledger.

What this package tells itself is written by the ledger's own sink, from the facts: it is left out here, so that with
both on nothing is written twice.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from .. import semconv
from ..core.runs import Run
from ..redaction.paths import marked
from ..redaction.policy import default_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from .lines import Event
    from .writer import Writer

LEDGER = "ledger"
_writer: Callable[[], Writer | None] = lambda: None  # noqa: E731 - replaced by the composition root


def use_writer(writer: Callable[[], Writer | None]) -> None:
    """Say where the exporters find this process's writer. The entry point's constructor takes no argument."""
    global _writer  # noqa: PLW0603
    _writer = writer


def _place_of(payload: Mapping[str, Any]) -> tuple[Run | None, int]:
    """Run and cycle by the attributes of what was redacted: they stand beside the payload, and in a file's name."""
    attributes = payload.get("attributes")
    if not isinstance(attributes, dict):  # redaction failed
        return None, 0
    told = cast("dict[str, Any]", attributes)
    run_id, agent, cycle = told.get(semconv.RUN_ID), told.get(semconv.AGENT_NAME), told.get(semconv.CYCLE)
    run = Run(run_id, agent if isinstance(agent, str) else "agent") if isinstance(run_id, str) else None
    return run, cycle if isinstance(cycle, int) else 0


def _is_ours(scope: Any) -> bool:
    return getattr(scope, "name", None) == semconv.SCOPE


class EnvelopeSpanExporter(SpanExporter):
    """`OTEL_TRACES_EXPORTER=agent_envelope`."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans that others made."""
        writer = _writer()
        if writer is None:
            return SpanExportResult.SUCCESS
        for span in spans:
            if not _is_ours(span.instrumentation_scope):
                writer.write(_span_event(span))
        return SpanExportResult.SUCCESS


def _span_event(span: ReadableSpan) -> Event:
    from .lines import Event
    from .sink import redacted, span_payload

    context: Any = span.context
    scope = span.instrumentation_scope
    payload = span_payload(
        name=span.name,
        kind=span.kind.name,
        ids=(context.trace_id, context.span_id, span.parent.span_id if span.parent else None),
        times=(span.start_time or 0, span.end_time or 0),
        status={"code": span.status.status_code.name, "description": span.status.description},
        attributes=dict(span.attributes or {}),
        events=[
            {"name": e.name, "time_unix_nano": e.timestamp, "attributes": dict(e.attributes or {})} for e in span.events
        ],
        links=[
            {
                "trace_id": f"{link.context.trace_id:032x}",
                "span_id": f"{link.context.span_id:016x}",
                "attributes": dict(link.attributes or {}),
            }
            for link in span.links
        ],
        scope={"name": scope.name, "version": scope.version, "schema_url": scope.schema_url} if scope else {},
        trace_state=context.trace_state.to_header() if context.trace_state else "",
    )
    payload = redacted(default_policy().at(LEDGER), payload)
    return Event(
        semconv.EVENT_SPAN_ENDED,
        span.end_time or time.time_ns(),
        payload,
        *_place_of(payload),
        context.trace_id,
        context.span_id,
    )


class EnvelopeLogExporter(LogRecordExporter):
    """`OTEL_LOGS_EXPORTER=agent_envelope`."""

    def wants(self, scope: Any) -> bool:
        """Whether records of ``scope`` are written: ours are lines of the ledger already."""
        return not _is_ours(scope)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write the logs and events that others made: an event under its own name, a plain log as `log.record`."""
        writer = _writer()
        if writer is None:
            return LogRecordExportResult.SUCCESS
        for item in batch:
            if not _is_ours(item.instrumentation_scope):
                writer.write(_log_event(item))
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is held
        """Nothing is held."""
        return True


def _log_event(item: ReadableLogRecord) -> Event:
    from .lines import Event
    from .sink import redacted

    record = item.log_record
    policy = default_policy().at(LEDGER)
    told = {"body": record.body, "severity": record.severity_text, "attributes": dict(record.attributes or {})}
    payload = redacted(policy, told)
    return Event(
        policy.text(record.event_name) if record.event_name else "log.record",
        record.timestamp or record.observed_timestamp or time.time_ns(),
        payload,
        *_place_of(payload),
        record.trace_id or 0,
        record.span_id or 0,
    )


class EnvelopeMetricExporter(MetricExporter):
    """`OTEL_METRICS_EXPORTER=agent_envelope`: one `metrics.snapshot` line an interval."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:  # noqa: ARG002 - writing a line does not wait
        """Write one line with all points."""
        from .lines import Event
        from .sink import redacted

        writer = _writer()
        if writer is not None:
            metrics = [
                {"name": metric.name, "unit": metric.unit, "points": [_point(p) for p in metric.data.data_points]}
                for resource in metrics_data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            ]
            payload: dict[str, Any] = {"metrics": metrics, "redacted_fields": _replaced(metrics)}
            writer.write(Event(semconv.EVENT_METRICS, time.time_ns(), redacted(default_policy().at(LEDGER), payload)))
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - nothing is held
        """Nothing is held."""
        return True


def _replaced(metrics: list[dict[str, Any]]) -> list[str]:
    """Where in ``metrics`` something was replaced when they were collected: no label can tell, but the replacement."""
    found: list[str] = []
    for number, metric in enumerate(metrics):
        path = f"payload.metrics[{number}]"
        found += marked({"name": metric["name"]}, path)
        for place, point in enumerate(metric["points"]):
            found += marked(point["attributes"], f"{path}.points[{place}].attributes")
    return found


def _point(point: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"attributes": dict(point.attributes or {}), "time_unix_nano": point.time_unix_nano}
    if hasattr(point, "bucket_counts"):
        bounds = list(point.explicit_bounds)
        return {**told, "count": point.count, "sum": point.sum, "bounds": bounds, "counts": list(point.bucket_counts)}
    return {**told, **({"value": point.value} if hasattr(point, "value") else {"count": point.count, "sum": point.sum})}
