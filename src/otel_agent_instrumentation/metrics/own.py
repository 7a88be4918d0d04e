# SPDX-License-Identifier: Apache-2.0
"""A project's own metrics, with prometheus_client's calls, and the gauges in which an agent says how it stands.

    EFFICIENCY = Gauge("pforge_efficiency", "Global puzzle efficiency score (E)")
    TOKENS = Counter("pforge_tokens_used_total", "Tokens used", ["vendor"])
    EFFICIENCY.set(1.23)
    TOKENS.labels("openai").inc(40)

They leave by every way that metrics leave by, OTLP included, under the names that they were given: without a unit's
suffix, and `_total` never doubled. Two definitions of one name are one metric. Values are kept here and read when
somebody collects, so that an update costs a lock and an addition, and none is lost that is made before `instrument()`.
Labels are few: beyond 1,000 sets of one metric all further ones count as `other`. Nothing here raises.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from .. import semconv
from ..core import runs
from ..core.contain import Contained, warn_once
from ..core.settings import current as settings
from .catalogue import CATALOGUE
from .row import Kind, Metric
from .store import define

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from .store import Labels

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_UPDATE = Contained("metrics.own")


class _Own:
    """A metric, or one with some values of its labels."""

    _kind: Kind = "gauge"

    def __init__(
        self, name: str, documentation: str, labelnames: Iterable[str] = (), namespace: str = "", subsystem: str = ""
    ) -> None:
        full = "_".join(part for part in (namespace, subsystem, name) if part)
        self._define(Metric(full, self._kind, "", documentation, tuple(labelnames), source="the project"))

    def _define(self, row: Metric) -> None:
        self._store = define(row)
        self._labels: Labels = ()

    @classmethod
    def of_catalogue(cls, name: str) -> Any:
        """The metric of the catalogue's row ``name``."""
        made = object.__new__(cls)
        made._define(CATALOGUE[name])
        return made

    def labels(self, *values: object, **named: object) -> Any:
        """This metric with these values of its labels, in their order or by name; a missing one is empty."""
        names = self._store.row.labels
        told = {**dict(zip(names, values, strict=False)), **named}
        if set(told) != set(names) or len(values) > len(names):
            warn_once(
                f"metric:labels:{self._store.row.name}",
                "otel-agent: the labels of the metric %s are %s; what does not fit is ignored.",
                self._store.row.name,
                ", ".join(names) or "none",
            )
        child = object.__new__(type(self))
        child._store = self._store
        child._labels = tuple((name, str(told.get(name, ""))) for name in names)
        return child

    def _change(self, value: float, *, add: bool = True) -> None:
        with _UPDATE:
            self._store.change(self._key(), float(value), add=add)

    def _key(self) -> Labels:
        if self._labels or not self._store.row.labels:
            return self._labels
        # A label that nobody gave: of the catalogue's own metrics it is the agent whose run this is.
        return tuple((name, _agent() if name == semconv.AGENT_NAME else "") for name in self._store.row.labels)


def _agent() -> str:
    run = runs.current()
    return run.agent if run is not None else settings().agent()


class Counter(_Own):
    """A number that only grows. Its name may end in `_total`; what Prometheus sees always does."""

    _kind = "counter"

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""
        if amount >= 0:
            self._change(amount)
        else:
            name = self._store.row.name
            warn_once(f"metric:inc:{name}", "otel-agent: the counter %s cannot be decreased; ignored.", name)


class Gauge(_Own):
    """A number that goes up and down; absent until it is set."""

    def set(self, value: float) -> None:
        """Make it ``value``."""
        self._change(value, add=False)

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``."""
        self._change(amount)

    def dec(self, amount: float = 1) -> None:
        """Take ``amount`` away."""
        self._change(-amount)

    def set_to_current_time(self) -> None:
        """Make it the seconds since the epoch."""
        self.set(time.time())


class Histogram(_Own):
    """A distribution. ``buckets``: upper edges, without infinity; prometheus_client's by default."""

    _kind = "histogram"

    def __init__(  # noqa: PLR0913, PLR0917 - prometheus_client's
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        buckets: Sequence[float] = _BUCKETS,
    ) -> None:
        full = "_".join(part for part in (namespace, subsystem, name) if part)
        edges = tuple(float(edge) for edge in buckets if edge != float("inf"))
        self._define(Metric(full, "histogram", "", documentation, tuple(labelnames), edges, source="the project"))

    def observe(self, amount: float) -> None:
        """Take one value."""
        with _UPDATE:
            self._store.observe(self._key(), float(amount))

    @contextmanager
    def time(self) -> Generator[None]:
        """Observe how many seconds a block takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - start)


# Labelled with the agent whose run it is, or `.labels("coder")`.
EFFICIENCY: Gauge = Gauge.of_catalogue(semconv.EFFICIENCY)
ENTROPY: Gauge = Gauge.of_catalogue(semconv.ENTROPY)
GAPS: Gauge = Gauge.of_catalogue(semconv.GAPS)
MISFITS: Gauge = Gauge.of_catalogue(semconv.MISFITS)
PATCHES_APPLIED: Counter = Counter.of_catalogue(semconv.PATCHES_APPLIED)

_OF_STATE = {"efficiency": EFFICIENCY, "entropy": ENTROPY, "gaps": GAPS, "misfits": MISFITS}


def update_state_gauges(state: object) -> None:
    """Set the gauges `agent.efficiency`, `agent.entropy`, `agent.gaps` and `agent.misfits` from ``state`` at once.

    ``state``: an object or a mapping with some of `efficiency`, `entropy`, `gaps`, `misfits`: numbers, or collections,
    whose size counts. What it lacks stays as it was. Never raises.
    """
    with _UPDATE:
        for name, gauge in _OF_STATE.items():
            value: Any = (
                cast("Mapping[str, Any]", state).get(name) if hasattr(state, "get") else getattr(state, name, None)
            )
            if value is not None:
                gauge.set(len(value) if hasattr(value, "__len__") else value)
