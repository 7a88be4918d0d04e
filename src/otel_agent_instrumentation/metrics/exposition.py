# SPDX-License-Identifier: Apache-2.0
"""Metrics as Prometheus reads them: its text format 0.0.4, and OpenMetrics 1.0 with exemplars.

Written from what a reader collects, without prometheus_client's objects between: a third of the time. Scopes are not
labels, exponential histograms become classic ones with edges at the powers of two.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.sdk.metrics.export import ExponentialHistogram, Gauge, Histogram, Sum

from ..core.contain import warn_once
from .names import prometheus_label, prometheus_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_INFINITY = float("inf")
_MOST_CACHED = 50_000
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Sample(NamedTuple):
    """One line: ``suffix`` of the family's name, labels without braces, value, exemplar as OpenMetrics writes it."""

    suffix: str
    labels: str
    value: float
    exemplar: str = ""


class Family(NamedTuple):
    """All series of one name. ``name``: without `_total` and `_info`."""

    name: str
    kind: str
    """`counter`, `gauge`, `histogram`, `summary`, `info` or `unknown`, as OpenMetrics has them."""
    help: str
    samples: list[Sample]


_label_sets: dict[tuple[tuple[str, Any], ...], str] = {}


def labels_of(attributes: Mapping[str, Any] | None) -> str:
    """`a="1",b="x"`, in the order of the names; of two that become one name the first is kept."""
    if not attributes:
        return ""
    key = tuple(attributes.items())
    try:
        return _label_sets[key]
    except KeyError:
        pass
    except TypeError:  # a list: no key
        return _written(attributes)
    if len(_label_sets) >= _MOST_CACHED:
        _label_sets.clear()
    made = _label_sets[key] = _written(attributes)
    return made


def _written(attributes: Mapping[str, Any]) -> str:
    told: dict[str, str] = {}
    for name, value in attributes.items():
        text = ("false", "true")[value] if type(value) is bool else str(value)
        told.setdefault(prometheus_label(name), text.translate(_ESCAPES))
    return ",".join(f'{name}="{told[name]}"' for name in sorted(told))


def families(data: MetricsData) -> list[Family]:
    """What a reader collected, by name. Raises nothing."""
    found: dict[str, Family] = {}
    for resource in data.resource_metrics:
        target = labels_of(resource.resource.attributes)
        if target and "target" not in found:
            found["target"] = Family("target", "info", "What the telemetry is of.", [Sample("_info", target, 1)])
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                _add(found, metric)
    for name, family in found.items():
        found[name] = family._replace(samples=_distinct(family))
    return list(found.values())


def _add(found: dict[str, Family], metric: Metric) -> None:
    data: Any = metric.data
    counter = isinstance(data, Sum) and data.is_monotonic
    kind = "counter" if counter else "gauge" if isinstance(data, (Sum, Gauge)) else "histogram"
    full = prometheus_name(metric.name, metric.unit or "", counter=counter, gauge=kind == "gauge")
    name = full.removesuffix("_total") if counter else full
    family = found.setdefault(name, Family(name, kind, metric.description or "", []))
    if family.kind != kind:
        warn_once(
            f"prometheus:{name}",
            "otel-agent: two metrics are called %s in Prometheus, a %s and a %s; only the first is served.",
            name,
            family.kind,
            kind,
        )
        return
    if kind == "histogram":
        read = _histogram if isinstance(data, Histogram) else _exponential
        if isinstance(data, (Histogram, ExponentialHistogram)):
            for point in data.data_points:
                family.samples.extend(read(point))
        return
    suffix = "_total" if counter else ""
    for point in data.data_points:
        exemplar = _exemplar(point.exemplars[-1]) if counter and point.exemplars else ""
        family.samples.append(Sample(suffix, labels_of(point.attributes), point.value, exemplar))


def _distinct(family: Family) -> list[Sample]:
    """Without a second series of the same labels, as two scopes may have: Prometheus refuses the whole scrape."""
    seen: dict[tuple[str, str], Sample] = {}
    for sample in family.samples:
        seen.setdefault((sample.suffix, sample.labels), sample)
    if len(seen) == len(family.samples):
        return family.samples
    warn_once(
        f"prometheus:twice:{family.name}",
        "otel-agent: %s is measured twice with the same labels; the first is served.",
        family.name,
    )
    return list(seen.values())


def _exemplar(exemplar: Any) -> str:
    if not exemplar.trace_id or not exemplar.span_id:
        return ""
    ids = f'trace_id="{exemplar.trace_id:032x}",span_id="{exemplar.span_id:016x}"'
    return f" # {{{ids}}} {number(exemplar.value)} {exemplar.time_unix_nano / 1e9:.3f}"


def _histogram(point: Any) -> Iterable[Sample]:
    bounds: Sequence[float] = point.explicit_bounds
    exemplars: dict[int, str] = {}
    for exemplar in point.exemplars:
        exemplars[bisect_left(bounds, exemplar.value)] = _exemplar(exemplar)
    edges = (*bounds, _INFINITY)
    yield from _buckets(point, edges, accumulate(point.bucket_counts), exemplars)


def _exponential(point: Any) -> Iterable[Sample]:
    """Down to one bucket a power of two: its edges are among those of every finer scale, and stay the same."""
    counts: dict[int, int] = {}
    shift = max(0, point.scale)
    width = 1 << max(0, -point.scale)
    for offset, count in enumerate(point.positive.bucket_counts):
        index = ((point.positive.offset + offset) >> shift) * width + width - 1
        counts[index] = counts.get(index, 0) + count
    below = point.zero_count + sum(point.negative.bucket_counts)
    used = sorted(index for index, count in counts.items() if count)
    span = range(used[0], used[-1] + 1, width) if used else range(0)
    edges = [0.0, *(_power(index + 1) for index in span), _INFINITY]
    so_far = accumulate([below, *(counts.get(index, 0) for index in span), 0])
    return _buckets(point, edges, so_far, {})


def _power(exponent: int) -> float:
    return 2.0**exponent if exponent < 1024 else _INFINITY  # noqa: PLR2004 - the largest double is below 2**1024


def _buckets(
    point: Any, edges: Iterable[float], counts: Iterable[int], exemplars: Mapping[int, str]
) -> Iterable[Sample]:
    labels = labels_of(point.attributes)
    comma = f"{labels}," if labels else ""
    for place, (edge, count) in enumerate(zip(edges, counts, strict=True)):
        yield Sample("_bucket", f'{comma}le="{number(float(edge))}"', count, exemplars.get(place, ""))
    yield Sample("_count", labels, point.count)
    yield Sample("_sum", labels, point.sum)


def number(value: float) -> str:
    """``value`` as both formats write it."""
    if value == _INFINITY:
        return "+Inf"
    if value == -_INFINITY:
        return "-Inf"
    return "NaN" if value != value else repr(value)  # noqa: PLR0124 - NaN


def written(found: Iterable[Family], *, openmetrics: bool) -> bytes:
    """The families as text."""
    lines: list[str] = []
    for family in found:
        name, kind = family.name, family.kind
        if not openmetrics:
            name = f"{name}_total" if kind == "counter" else f"{name}_info" if kind == "info" else name
            kind = {"info": "gauge", "unknown": "untyped"}.get(kind, kind)
        described = family.help.translate(_ESCAPES if openmetrics else _HELP_ESCAPES)
        lines.append(f"# HELP {name} {described}\n# TYPE {name} {kind}\n")
        base = family.name
        for suffix, labels, value, exemplar in family.samples:
            told = f"{base}{suffix}{{{labels}}}" if labels else f"{base}{suffix}"
            lines.append(f"{told} {number(value)}{exemplar if openmetrics else ''}\n")
    if openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode("utf-8", "replace")
