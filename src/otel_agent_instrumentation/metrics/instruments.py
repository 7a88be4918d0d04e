# SPDX-License-Identifier: Apache-2.0
"""OTel instruments as the rows of the catalogue describe them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter, Observation

    from .row import Metric


def make(meter: Meter, row: Metric) -> Any:
    """An instrument that measurements are given to."""
    if row.kind == "histogram":
        edges = list(row.buckets)
        return meter.create_histogram(
            row.name, unit=row.unit, description=row.description, explicit_bucket_boundaries_advisory=edges
        )
    create: Any = {
        "counter": meter.create_counter,
        "updowncounter": meter.create_up_down_counter,
        "gauge": meter.create_gauge,
    }[row.kind]
    return create(row.name, unit=row.unit, description=row.description)


def observe(meter: Meter, row: Metric, read: Callable[[], Iterable[Observation]]) -> None:
    """An instrument that asks ``read`` for its values at each collection."""

    def callback(options: CallbackOptions) -> Iterable[Observation]:  # noqa: ARG001 - OTel's signature
        return read()

    create: Any = {
        "counter": meter.create_observable_counter,
        "updowncounter": meter.create_observable_up_down_counter,
        "gauge": meter.create_observable_gauge,
    }[row.kind]
    create(row.name, [callback], unit=row.unit, description=row.description)
