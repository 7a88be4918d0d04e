# SPDX-License-Identifier: Apache-2.0
"""Observable counters over books that others keep: what was lost, and what was redacted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import Observation

from .. import semconv
from ..metrics.catalogue import CATALOGUE
from ..pipeline.accounts import snapshots
from ..redaction.policy import default_policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions, Meter


def dropped() -> Iterable[Observation]:
    """What the queues could not deliver, by signal, exporter and reason."""
    return [
        Observation(count, {semconv.SIGNAL: books.signal, semconv.EXPORTER: books.exporter, semconv.REASON: reason})
        for books in snapshots()
        for reason, count in books.dropped.items()
    ]


def watch_redactions(meter: Meter) -> None:
    """Have ``meter`` tell what redaction replaced: the hot path only counts."""
    row = CATALOGUE[semconv.REDACTIONS]
    meter.create_observable_counter(row.name, [_redactions], unit=row.unit, description=row.description)


def _redactions(options: CallbackOptions) -> Iterable[Observation]:  # noqa: ARG001 - OTel's signature
    return [
        Observation(count, {semconv.REDACTION_RULE: rule, semconv.REDACTION_PLACE: place})
        for (rule, place), count in default_policy().counts().items()
    ]
