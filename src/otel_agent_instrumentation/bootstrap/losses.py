# SPDX-License-Identifier: Apache-2.0
"""The metric `agent.telemetry.dropped`: the pipeline's books, whether or not a call of ours was ever made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import Observation

from .. import semconv
from ..metrics.catalogue import CATALOGUE
from ..pipeline.accounts import snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter


def count_losses(meter: Meter, before: Callable[[], object], losses: Callable[[], Iterable[Observation]]) -> None:
    """Make the counter. At each collection ``before`` is called first: a callback runs before the points are read."""

    def observe(options: CallbackOptions) -> Iterable[Observation]:  # noqa: ARG001 - OTel's signature
        before()
        return losses()

    row = CATALOGUE[semconv.TELEMETRY_DROPPED]
    meter.create_observable_counter(row.name, [observe], unit=row.unit, description=row.description)


def dropped() -> list[Observation]:
    """What was lost so far, by signal, exporter and reason."""
    return [
        Observation(count, {semconv.SIGNAL: books.signal, semconv.EXPORTER: books.exporter, semconv.REASON: reason})
        for books in snapshots()
        for reason, count in books.dropped.items()
    ]
