# SPDX-License-Identifier: Apache-2.0
"""`agent.events` and `agent.event.value` (E6, E8): noted while an event is told, recorded when somebody collects.

Neither has exemplars, and of a value only the last one counts: nothing is lost by the wait, and a note is an append.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from .. import semconv
from ..metrics.bound import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..core.runs import Run
    from .metrics import Recorders

# The numbers of an event's payload that are mirrored (E6); the sidecar mirrors the same from the files.
EVENT_FIELDS: dict[str, tuple[str, ...]] = {
    semconv.EVENT_PLAN_GENERATED: ("step_count", "reasoning_score"),
    semconv.EVENT_STEP_COMPLETED: ("duration_ms",),
    semconv.EVENT_REVIEW_FEEDBACK: ("confidence_delta",),
    semconv.EVENT_BENCHMARK_COMPLETED: ("tokens_per_s", "latency_ms"),
    semconv.EVENT_COMMAND_COMPLETED: ("exit_code",),
}
_NUMBERS = frozenset({int, float})
_MOST_WAITING = 4096
_MOST_SETS = 1024
_EMPTY = Context()


class _Waiting:
    """What was not recorded yet of the events of one name, agent and task."""

    __slots__ = ("events", "last", "recorders")

    def __init__(self, recorders: Recorders) -> None:
        self.recorders = recorders
        self.events: list[None] = []
        """One for each: appending is atomic, adding is not."""
        self.last: dict[str, float] = {}
        """The last value by field."""

    def record(self) -> None:
        moment = Moment(_EMPTY, time.time_ns())
        moment.sampled = False
        count = 0
        with suppress(IndexError):  # one by one: no lock that a fork or a finaliser could find taken
            while True:
                self.events.pop()
                count += 1
        if count:
            self.recorders.record(semconv.EVENTS, count, moment)
        with suppress(KeyError):
            while True:
                field, value = self.last.popitem()
                self.recorders.record(semconv.EVENT_VALUE, value, moment, (semconv.EVENT_FIELD, field))


class EventCounts:
    """All that wait. ``recorders``: those for an event's name and run."""

    def __init__(self, recorders: Callable[[str, Run | None], Recorders]) -> None:
        self._recorders = recorders
        self._waiting: dict[tuple[str, str | None, str | None], _Waiting] = {}

    def note(self, name: str, payload: Mapping[str, Any], run: Run | None) -> None:
        """Take one event: of ``payload`` the numbers in `EVENT_FIELDS`. Safe between threads."""
        key = (name, run.agent, run.task) if run is not None else (name, None, None)
        waiting, at_once = self._waiting.get(key), False
        if waiting is None:
            waiting = _Waiting(self._recorders(name, run))
            at_once = len(self._waiting) >= _MOST_SETS  # names are invented
            if not at_once:
                waiting = self._waiting.setdefault(key, waiting)
        waiting.events.append(None)
        for field in EVENT_FIELDS.get(name, ()):
            value: Any = payload.get(field)
            if type(value) in _NUMBERS:
                waiting.last[field] = value
        if at_once or len(waiting.events) >= _MOST_WAITING:  # nobody collects
            waiting.record()

    def record(self) -> None:
        """Record all that waits: at a collection."""
        for waiting in list(self._waiting.values()):
            waiting.record()
