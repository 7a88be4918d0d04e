# SPDX-License-Identifier: Apache-2.0
"""Redaction of metrics: labels, resource (Prometheus' ``target_info``), scope, exemplars, names.

The SDK has no hook between a measurement and its readers, so the guard stands where a reader collects: whatever it
exports to, and whenever it was added, it is handed redacted data. Exemplars keep trace and span id and lose their
attributes: the SDK puts there what a View took out of the labels.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry.sdk.metrics.export import Histogram, MetricExporter, MetricExportResult, MetricsData, Sum

from ..core.contain import Contained
from . import parts
from .parts import redact_resource
from .policy import default_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricReader, ResourceMetrics, ScopeMetrics

    from .policy import Policy

__all__ = ["MetricsGuard", "RedactingMetricExporter", "redact_metrics_data", "redact_resource"]

_T = TypeVar("_T")
_COLLECT = Contained("redaction.metrics")


def redact_metrics_data(data: MetricsData, policy: Policy | None = None) -> MetricsData:
    """Return ``data`` redacted; the same object if clean. Raises only what the policy's callers raise: nothing."""
    rules = policy or default_policy()
    resources = _each(data.resource_metrics, lambda item: _resource_metrics(item, rules))
    return data if resources is data.resource_metrics else MetricsData(resource_metrics=resources)


class MetricsGuard:
    """Stands for a provider's ``collect``, through which each of its readers gets its data."""

    __slots__ = ("_collect", "policy")

    def __init__(self, collect: Callable[..., MetricsData | None], policy: Policy | None = None) -> None:
        self._collect = collect
        self.policy = (policy or default_policy()).at("metric")

    def __call__(self, metric_reader: MetricReader, timeout_millis: float = 10_000) -> MetricsData | None:
        """Return what ``collect`` gives, redacted; None, which readers skip, on a fault of ours."""
        data = self._collect(metric_reader, timeout_millis=timeout_millis)
        if data is None:
            return None
        with _COLLECT:
            return redact_metrics_data(data, self.policy)
        return None


class RedactingMetricExporter(MetricExporter):
    """Wraps an exporter that is fed by other means than a guarded provider."""

    def __init__(self, exporter: MetricExporter, policy: Policy | None = None) -> None:
        super().__init__(
            # Where the SDK's reader looks for them as well.
            preferred_temporality=getattr(exporter, "_preferred_temporality", None),
            preferred_aggregation=getattr(exporter, "_preferred_aggregation", None),
        )
        self._exporter: Any = exporter  # its signatures are untyped in the SDK
        self._policy = (policy or default_policy()).at("metric")

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export ``metrics_data`` redacted; FAILURE, and nothing exported, on a fault of ours."""
        clean = None
        with _COLLECT:
            clean = redact_metrics_data(metrics_data, self._policy)
        if clean is None:
            return MetricExportResult.FAILURE
        return self._exporter.export(clean, timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the wrapped exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut the wrapped exporter down."""
        self._exporter.shutdown(timeout_millis, **kwargs)


def _each(items: Sequence[_T], redact: Callable[[_T], _T]) -> Sequence[_T]:
    clean = [redact(item) for item in items]
    return items if all(new is old for new, old in zip(clean, items, strict=True)) else clean


def _resource_metrics(item: ResourceMetrics, policy: Policy) -> ResourceMetrics:
    resource = redact_resource(item.resource, policy)
    scopes = _each(item.scope_metrics, lambda scope: _scope_metrics(scope, policy))
    if resource is item.resource and scopes is item.scope_metrics:
        return item
    return dataclasses.replace(item, resource=resource, scope_metrics=scopes)


def _scope_metrics(item: ScopeMetrics, policy: Policy) -> ScopeMetrics:
    scope = parts.redact_scope(item.scope, policy)
    metrics = _each(item.metrics, lambda metric: _metric(metric, policy))
    if scope is item.scope and metrics is item.metrics:
        return item
    return dataclasses.replace(item, scope=scope or item.scope, metrics=metrics)


def _metric(metric: Metric, policy: Policy) -> Metric:
    name = policy.text(metric.name)
    description = parts.optional_text(metric.description, policy)
    old = cast("Sequence[Any]", metric.data.data_points)
    points = _each(old, lambda point: _point(point, policy))
    if name is metric.name and description is metric.description and points is old:
        return metric
    data = metric.data if points is old else dataclasses.replace(metric.data, data_points=_merged(points, metric.data))
    return dataclasses.replace(metric, name=name, description=description, data=data)


def _point(point: Any, policy: Policy) -> Any:
    attributes = parts.snapshot(point.attributes)
    clean = policy.attributes(attributes)
    exemplars = _each(point.exemplars, _bare_exemplar) if point.exemplars else point.exemplars
    if clean is attributes and exemplars is point.exemplars:
        return point
    return dataclasses.replace(point, attributes=clean, exemplars=exemplars)


def _bare_exemplar(exemplar: Any) -> Any:
    return dataclasses.replace(exemplar, filtered_attributes={}) if exemplar.filtered_attributes else exemplar


def _merged(points: Sequence[Any], data: Any) -> list[Any]:
    """Join the points whose labels redaction made equal: a receiver refuses two series of one name."""
    series: dict[Any, Any] = {}
    for point in points:
        labels = cast("dict[str, Any]", point.attributes or {})
        key = tuple((name, repr(labels[name])) for name in sorted(labels))
        series[key] = _joined(series[key], point, data) if key in series else point
    return list(series.values())


def _joined(first: Any, second: Any, data: Any) -> Any:
    start = min(first.start_time_unix_nano or 0, second.start_time_unix_nano or 0)
    exemplars = [*first.exemplars, *second.exemplars]
    if isinstance(data, Sum):
        value = first.value + second.value
        return dataclasses.replace(second, value=value, start_time_unix_nano=start, exemplars=exemplars)
    if isinstance(data, Histogram) and first.explicit_bounds == second.explicit_bounds:
        return dataclasses.replace(
            second,
            start_time_unix_nano=start,
            count=first.count + second.count,
            sum=first.sum + second.sum,
            bucket_counts=[a + b for a, b in zip(first.bucket_counts, second.bucket_counts, strict=True)],
            min=min(first.min, second.min),
            max=max(first.max, second.max),
            exemplars=exemplars,
        )
    # A gauge has one value; two exponential histograms of unlike scale have no cheap sum.
    return second
