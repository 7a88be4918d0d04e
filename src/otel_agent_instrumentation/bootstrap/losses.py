# SPDX-License-Identifier: Apache-2.0
"""The metrics `agent.telemetry.dropped` and `agent.redactions`: books that are kept whether or not a call is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import Observation

from .. import semconv
from ..metrics.catalogue import CATALOGUE
from ..pipeline.accounts import snapshots
from ..redaction.policy import default_policy
from .state import state

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


def count_redactions(meter: Meter) -> None:
    """Make the counter of what was replaced, by rule and place."""

    def observe(options: CallbackOptions) -> Iterable[Observation]:  # noqa: ARG001 - OTel's signature
        return [
            Observation(count, {semconv.REDACTION_RULE: rule, semconv.REDACTION_PLACE: place})
            for (rule, place), count in default_policy().counts().items()
        ]

    row = CATALOGUE[semconv.REDACTIONS]
    meter.create_observable_counter(row.name, [observe], unit=row.unit, description=row.description)


def dropped() -> list[Observation]:
    """What was lost so far, by signal, exporter and reason: of the queues, and of the ledger."""
    ledger = state.writer.lost() if state.writer is not None else {}
    return [
        *(
            Observation(count, {semconv.SIGNAL: "events", semconv.EXPORTER: "ledger", semconv.REASON: reason})
            for reason, count in ledger.items()
        ),
        *_of_queues(),
    ]


def _of_queues() -> list[Observation]:
    return [
        Observation(count, {semconv.SIGNAL: books.signal, semconv.EXPORTER: books.exporter, semconv.REASON: reason})
        for books in snapshots()
        for reason, count in books.dropped.items()
    ]
