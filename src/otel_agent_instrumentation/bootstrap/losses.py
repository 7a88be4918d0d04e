# SPDX-License-Identifier: Apache-2.0
"""Books that are kept whether or not a call is made: the pipeline's, redaction's, and what the process itself is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation

from .. import semconv
from ..core.contain import Contained, faults
from ..core.settings import capturing, current
from ..metrics.catalogue import CATALOGUE
from ..metrics.instruments import observe
from ..pipeline.accounts import snapshots
from ..redaction.policy import default_policy
from .state import state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import Meter

    from ..pipeline.accounts import Snapshot

_MEMORY = Contained("metrics.memory")
_PLACES = ("span", "log", "metric", "ledger", "content")
_QUEUE_FULL = "queue_full"


def count_losses(meter: Meter, before: Callable[[], object], losses: Callable[[], Iterable[Observation]]) -> None:
    """Make `agent.telemetry.dropped`. ``before`` is called at each collection, before the points are read."""

    def read() -> Iterable[Observation]:
        before()
        return losses()

    observe(meter, CATALOGUE[semconv.TELEMETRY_DROPPED], read)


def keep_books(meter: Meter) -> None:
    """Make the other metrics that are read when somebody collects."""
    observe(meter, CATALOGUE[semconv.REDACTIONS], _redactions)
    observe(meter, CATALOGUE[semconv.TELEMETRY_EMITTED], lambda: _of_queues("emitted"))
    observe(meter, CATALOGUE[semconv.TELEMETRY_EXPORTED], lambda: _of_queues("exported"))
    observe(meter, CATALOGUE[semconv.TELEMETRY_QUEUED], lambda: _of_queues("queued"))
    observe(meter, CATALOGUE[semconv.FAULTS], lambda: [Observation(sum(faults().values()))])
    observe(meter, CATALOGUE[semconv.CONTENT_CAPTURE], _content)
    observe(meter, CATALOGUE[semconv.PROCESS_MEMORY], _memory)


def dropped() -> list[Observation]:
    """What was lost so far, by signal, exporter and reason; 0 for the reason that is most looked for."""
    return [*_of_ledger(), *_dropped_by_queues()]


def _of_ledger() -> list[Observation]:
    if state.writer is None:
        return []
    labels = {semconv.SIGNAL: "events", semconv.EXPORTER: "ledger"}
    lost = {_QUEUE_FULL: 0, **state.writer.lost()}
    return [Observation(count, {**labels, semconv.REASON: reason}) for reason, count in lost.items()]


def _dropped_by_queues() -> list[Observation]:
    return [
        Observation(count, {**_labels(books), semconv.REASON: reason})
        for books in snapshots()
        for reason, count in {_QUEUE_FULL: 0, **books.dropped}.items()
    ]


def _labels(books: Snapshot) -> dict[str, Any]:
    return {semconv.SIGNAL: books.signal, semconv.EXPORTER: books.exporter}


def _of_queues(field: str) -> list[Observation]:
    return [Observation(getattr(books, field), _labels(books)) for books in snapshots()]


def _redactions() -> list[Observation]:
    counts = {("error", place): 0 for place in _PLACES} | default_policy().counts()
    return [
        Observation(count, {semconv.REDACTION_RULE: rule, semconv.REDACTION_PLACE: place})
        for (rule, place), count in counts.items()
    ]


def _content() -> list[Observation]:
    return [Observation(int(capturing()), {semconv.CONTENT_MODE: current().content})]


def _memory() -> list[Observation]:
    with _MEMORY:
        size = resident_memory()
        return [] if size is None else [Observation(size)]
    return []


def resident_memory() -> int | None:
    """Physical memory of this process in bytes; None where neither the system nor psutil (`[system]`) says."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib costs twice as much
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    if "psutil" not in sys.modules:
        try:
            import psutil
        except ImportError:
            return None
    psutil: Any = sys.modules["psutil"]
    return int(psutil.Process().memory_info().rss)
