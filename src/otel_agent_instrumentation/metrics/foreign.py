# SPDX-License-Identifier: Apache-2.0
"""What stands in prometheus_client's default registry: a program's metrics of before go on being served, redacted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY

from ..redaction.policy import default_policy
from .exposition import Family, Sample, labels_of, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..redaction.policy import Policy

_KINDS = frozenset({"counter", "gauge", "histogram", "summary", "info"})


def default_registry() -> Iterator[Family]:
    """Its families, one by one: what a collector of somebody's raises ends them, and not what came before."""
    policy = default_policy().at("metric")
    for metric in REGISTRY.collect():
        kind: str = metric.type if metric.type in _KINDS else "unknown"
        samples: list[Sample] = []
        for sample in metric.samples:
            if sample.name.endswith("_created") and kind != "gauge":
                continue  # a time, no measurement; the plain format would need a family of its own for it
            labels = labels_of(policy.attributes(dict(sample.labels)))
            exemplar = _exemplar(sample.exemplar, policy) if sample.exemplar else ""
            samples.append(Sample(sample.name[len(metric.name) :], labels, float(sample.value), exemplar))
        yield Family(metric.name, kind, policy.text(metric.documentation), samples)


def _exemplar(exemplar: Any, policy: Policy) -> str:
    told = f" # {{{labels_of(policy.attributes(dict(exemplar.labels)))}}} {number(float(exemplar.value))}"
    return told if exemplar.timestamp is None else f"{told} {float(exemplar.timestamp):.3f}"
