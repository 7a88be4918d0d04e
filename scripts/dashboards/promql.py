# SPDX-License-Identifier: Apache-2.0
"""PromQL from rows of the catalogue: names as Prometheus' OTLP receiver makes them, labels that the row has.

A name or label that the catalogue lacks is a KeyError or ValueError.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_agent_instrumentation.metrics.catalogue import CATALOGUE
from otel_agent_instrumentation.metrics.names import prometheus_name

if TYPE_CHECKING:
    from otel_agent_instrumentation.metrics.catalogue import Metric

WINDOW = "$__rate_interval"
RANGE = "$__range"
# Of the resource, which Prometheus is told to promote: they stand on every series.
_EVERYWHERE = ("service_name", "deployment_environment_name")
_FILTER = 'service_name=~"$service", deployment_environment_name=~"$environment"'


def label(attribute: str) -> str:
    """An attribute's name as Prometheus has it."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


def name(metric: str) -> str:
    """A metric's base name: of a histogram, what `_bucket`, `_count` and `_sum` are added to."""
    row = CATALOGUE[metric]
    gauge = row.kind in {"gauge", "updowncounter"}
    return prometheus_name(row.name, row.unit, counter=row.kind == "counter", gauge=gauge)


def labels(row: Metric) -> set[str]:
    """The labels that a series of this row may have."""
    found = {label(attribute) for attribute in row.labels} | {*_EVERYWHERE, "job", "instance"}
    return found | ({"le"} if row.kind == "histogram" else set())


def series(metric: str, part: str = "", where: str = "") -> str:
    """A selector of the metric's series, by the dashboard's variables and by ``where``."""
    row = CATALOGUE[metric]
    if where:
        for used in re.findall(r'(\w+)\s*[=!]~?"', where):
            _known(row, used)
    agent = ', gen_ai_agent_name=~"$agent"' if "gen_ai.agent.name" in row.labels else ""
    return f"{name(metric)}{part}{{{_FILTER}{agent}{f', {where}' if where else ''}}}"


def rate(metric: str, *by: str, part: str = "", where: str = "") -> str:
    """Measurements a second, summed by labels. ``part``: `_count` or `_sum` of a histogram."""
    return f"sum{_by(metric, by)} (rate({series(metric, part, where)}[{WINDOW}]))"


def increase(metric: str, *by: str, part: str = "", where: str = "", window: str = RANGE) -> str:
    """Measurements in the range that the dashboard shows, summed by labels."""
    return f"sum{_by(metric, by)} (increase({series(metric, part, where)}[{window}]))"


def value(metric: str, *by: str, how: str = "sum") -> str:
    """A gauge's value now, aggregated by labels."""
    return f"{how}{_by(metric, by)} ({series(metric)})"


def ratio(part: str, whole: str) -> str:
    """A share; none where there is nothing to have a share of, instead of NaN."""
    return f"({part}) / ({whole}) >= 0"


def quantile(share: float, metric: str, *by: str, where: str = "") -> str:
    """A quantile of a histogram over the last window, by labels; none of series that stood still, instead of NaN."""
    return f"histogram_quantile({share}, {rate(metric, 'le', *by, part='_bucket', where=where)}) >= 0"


def mean(metric: str, *by: str) -> str:
    """The mean of a histogram over the last window, by labels."""
    return ratio(rate(metric, *by, part="_sum"), rate(metric, *by, part="_count"))


def either(first: str, second: str) -> str:
    """The first, and the second where it has no series: two flavours of the convention's names."""
    return f"({first}) or ({second})"


def _by(metric: str, by: tuple[str, ...]) -> str:
    for used in by:
        _known(CATALOGUE[metric], used)
    return f" by ({', '.join(by)})" if by else ""


def _known(row: Metric, used: str) -> None:
    if used not in labels(row):
        raise ValueError(f"{row.name} has no label {used}: {sorted(labels(row))}")
