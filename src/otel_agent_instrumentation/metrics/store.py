# SPDX-License-Identifier: Apache-2.0
"""The values of metrics that the agent's own code sets, kept until somebody collects."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation

from .. import semconv
from ..core.contain import Contained, warn_once
from . import where
from .catalogue import CATALOGUE
from .instruments import make, observe
from .labels import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .row import Metric

Labels = tuple[tuple[str, str], ...]

_MOST_SETS = 1000
_MOST_EARLY = 1000
_LONGEST = 128
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.]{0,254}")
_ATTACH = Contained("metrics.attach")
PROJECT = f"{semconv.SCOPE}.project"
"""The scope of a project's own metrics."""


class Store:
    """One metric's values by its labels. Safe between threads."""

    def __init__(self, row: Metric) -> None:
        self.row = row
        self._values: dict[Labels, float] = {} if row.labels or row.kind != "counter" else {(): 0}
        self._lock = threading.Lock()
        self._histogram: Any = None
        self._early: list[tuple[Labels, float]] = []
        """Of a histogram: what was observed before there was a provider."""

    def attach(self, provider: Any) -> None:
        """Be read by ``provider``'s readers as well."""
        scope = semconv.SCOPE if self.row.name in CATALOGUE else PROJECT
        meter = provider.get_meter(scope, semconv.VERSION)
        if self.row.kind != "histogram":
            observe(meter, self.row, self.read)
            return
        made = make(meter, self.row)
        with self._lock:
            self._histogram = made
            early, self._early = self._early, []
        for labels, value in early:
            made.record(value, dict(labels))

    def read(self) -> Iterable[Observation]:
        """The values now."""
        with self._lock:
            return [Observation(value, dict(labels)) for labels, value in self._values.items()]

    def change(self, labels: Labels, value: float, *, add: bool) -> None:
        """Add ``value`` to what there is, or put it there."""
        with self._lock:
            key = self._bounded(labels)
            self._values[key] = self._values.get(key, 0) + value if add else value

    def observe(self, labels: Labels, value: float) -> None:
        """Take one value of a distribution."""
        with self._lock:
            key = self._bounded(labels)
            self._values[key] = value
            histogram = self._histogram
            if histogram is None and len(self._early) < _MOST_EARLY:
                self._early.append((key, value))
        if histogram is not None:
            histogram.record(value, dict(key))

    def _bounded(self, labels: Labels) -> Labels:
        if labels in self._values:
            return labels
        if len(self._values) < _MOST_SETS and all(len(value) <= _LONGEST for _, value in labels):
            return labels
        warn_once(
            f"metric:{self.row.name}",
            "otel-agent: the metric %s has more than %d sets of labels, or a value of more than %d characters: "
            "what is too much is counted as `%s`.",
            self.row.name,
            _MOST_SETS,
            _LONGEST,
            OTHER,
        )
        return tuple((name, OTHER) for name, _ in labels)

    def begin_in_child(self) -> None:
        """In a forked child: the parent tells what it has counted."""
        self._lock = threading.Lock()
        self._early.clear()
        if self.row.kind == "counter":
            self._values = dict.fromkeys(self._values, 0)


_lock = threading.Lock()
_defined: dict[str, Store] = {}


def define(row: Metric) -> Store:
    """The store of ``row``: the same for every definition of one name, and one that nobody reads for a bad row."""
    with _lock:
        known = _defined.get(row.name)
        if known is not None and (known.row.kind, known.row.labels) == (row.kind, row.labels):
            return known
        made = Store(row)
        if known is not None or not _NAME.fullmatch(row.name) or CATALOGUE.get(row.name, row) is not row:
            warn_once(
                f"metric:define:{row.name}",
                "otel-agent: the metric %r is left out: %s.",
                row.name,
                "its name is no valid one" if not _NAME.fullmatch(row.name) else "there is another one of that name",
            )
            return made
        _defined[row.name] = made
    where.whenever(lambda provider: _attach(made, provider))
    return made


def _attach(store: Store, provider: Any) -> None:
    with _ATTACH:
        store.attach(provider)


def _in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    for store in _defined.values():
        store.begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
