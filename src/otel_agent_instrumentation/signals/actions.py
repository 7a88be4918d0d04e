# SPDX-License-Identifier: Apache-2.0
"""`agent.actions` and `agent.latency` (M3): noted while a call ends, recorded when somebody collects.

A note is one append to a list. The two metrics say nothing that a call's own metrics do not say in more detail, so
they shall not cost each call two more measurements.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from .. import semconv
from ..metrics.bound import Bound, Moment
from ..metrics.catalogue import CATALOGUE
from ..metrics.instruments import make

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

_MOST_WAITING = 4096
_EMPTY = Context()


class Waiting:
    """The durations, in seconds, of actions of one label set that were not recorded yet."""

    __slots__ = ("_count", "_latency", "_turn", "_values")

    def __init__(self, count: Bound, latency: Bound) -> None:
        self._values: list[float] = []
        self._count, self._latency = count, latency
        self._turn = threading.RLock()

    def note(self, seconds: float) -> None:
        """Take one action. Safe between threads: appending is atomic."""
        values = self._values
        values.append(seconds)
        if len(values) >= _MOST_WAITING:  # nobody collects
            self.record()

    def record(self) -> None:
        """Record what waits."""
        if not self._turn.acquire(blocking=False):
            return  # another thread does; what is left comes next time
        try:
            taken = self._values[:]
            del self._values[: len(taken)]  # what others append meanwhile stays
        finally:
            self._turn.release()
        if taken:
            moment = Moment(_EMPTY, time.time_ns())
            moment.sampled = False
            self._count.record(len(taken), moment)
            self._latency.record_all(taken, moment)


class Actions:
    """All that wait, by label set. The labels are bounded by the caller."""

    def __init__(self, meter: Meter) -> None:
        self._instruments: tuple[Any, Any] = (
            make(meter, CATALOGUE[semconv.ACTIONS]),
            make(meter, CATALOGUE[semconv.LATENCY]),
        )
        self._waiting: dict[tuple[str, str | None, bool], Waiting] = {}

    def of(self, kind: str, agent: str | None, *, success: bool) -> Waiting:
        """What waits of this label set. Both ways of ending begin at 0, so that the first failure is an increase."""
        key = (kind, agent, success)
        found = self._waiting.get(key)
        if found is None:
            for ended in (success, not success):
                count = Bound(self._instruments[0], _labels(kind, agent, success=ended))
                count.record(0, Moment(_EMPTY, time.time_ns()))
                latency = Bound(self._instruments[1], _labels(kind, agent, success=ended))
                self._waiting.setdefault((kind, agent, ended), Waiting(count, latency))
            found = self._waiting[key]
        return found

    def record(self) -> None:
        """Record all that waits: at a collection."""
        for waiting in list(self._waiting.values()):
            waiting.record()


def _labels(kind: str, agent: str | None, *, success: bool) -> dict[str, Any]:
    labels: dict[str, Any] = {semconv.ACTION_TYPE: kind, semconv.SUCCESS: success}
    return labels if agent is None else {**labels, semconv.AGENT_NAME: agent}
