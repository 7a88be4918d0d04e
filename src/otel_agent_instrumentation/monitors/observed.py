# SPDX-License-Identifier: Apache-2.0
"""What the instrumentation tells the performance monitor: calls that ended, and events of runs."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from .. import semconv
from ..core.contain import Contained
from .heard import UNKNOWN, number

if TYPE_CHECKING:
    from ..core.records import EventRecord
    from ..core.spec import Call
    from .facts import Outcome
    from .keeper import Keeper

_COUNT = Contained("monitor.count")
_MOST_WAITING = 256
_CANCELLED = frozenset({"CancelledError", "KeyboardInterrupt", "GeneratorExit"})
_ARTIFACTS: dict[str, semconv.ArtifactChange] = {event: change for change, event in semconv.EVENT_ARTIFACTS.items()}
_ANEW = frozenset({"session_start", "persona_activated", "persona_switched"})
"""Events (docs/events.md) with which a session or persona begins."""


class Observed:
    """An observer of the engine, and a tap of its events."""

    name = "performance monitor"

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._waiting: deque[Call] = deque()

    def on_end(self, call: Call) -> None:
        """Take a call. Those of a burst are counted together, with the last: that is a third of the price."""
        self._waiting.append(call)
        if not call.more or len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Count what was taken."""
        waiting = self._waiting
        while waiting:
            try:
                call = waiting.popleft()
            except IndexError:  # another thread counts as well
                return
            with _COUNT:
                self._count(call)

    def _count(self, call: Call) -> None:
        """Count a tool or a model's request; others are none of ours."""
        keeper, durations = self._keeper, call.api.durations
        if call.start_clock < keeper.facts.began_clock:
            return  # it began before the last reset
        if durations is None:
            self._model(call)
        elif semconv.TOOL_CALLS in durations:
            inferred = semconv.TOOL_INFERRED in (call.request.attributes or ())
            seconds = None if inferred else call.duration
            keeper.tool("engine", call.request.tool or UNKNOWN, seconds, outcome(call))
        if call.run is not None and call.cycle:
            keeper.cycle(call.run, call.cycle)

    def _model(self, call: Call) -> None:
        request, response = call.request, call.response
        own = response is None or not response.repeated
        self._keeper.model(
            "engine",
            request.model or (response.model if response is not None else None) or UNKNOWN,
            call.duration,
            outcome(call),
            response.usage if response is not None else None,
            own,
            call.first_chunk if request.stream else None,
            call.retries,
            call.cost.usd if call.cost is not None else None,
        )

    def on_event(self, record: EventRecord) -> None:
        """Count states and artifacts; a new session or persona begins anew."""
        keeper, name, payload = self._keeper, record.name, record.payload
        if name in _ANEW:
            keeper.reset()
            return
        if name == semconv.EVENT_STATE_ENTERED:
            keeper.entered("engine", str(payload.get("state")))
        elif name == semconv.EVENT_STATE_EXITED:
            seconds = max(0.0, number(payload.get("dwell_ms")) or 0.0) / 1000
            if time.perf_counter_ns() - int(seconds * 1e9) >= keeper.facts.began_clock:
                keeper.left("engine", str(payload.get("state")), seconds)
        elif name in _ARTIFACTS:
            with keeper.lock:
                keeper.facts.artifact(_ARTIFACTS[name], payload.get("path"))
        if record.run is not None and record.cycle:
            keeper.cycle(record.run, record.cycle)


def outcome(call: Call) -> Outcome:
    """How a call ended. Who cancels a tool does not blame it."""
    if call.error_type is None:
        return "ok"
    return "cancelled" if call.error_type in _CANCELLED else "error"
