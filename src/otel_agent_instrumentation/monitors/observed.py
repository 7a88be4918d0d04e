# SPDX-License-Identifier: Apache-2.0
"""What the instrumentation tells the performance monitor: calls that ended, and events of runs."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.reaper import reaper
from .heard import UNKNOWN, number

if TYPE_CHECKING:
    from ..core.records import EventRecord
    from ..core.spec import Call, Request
    from .facts import Outcome
    from .keeper import Keeper

_MOST_NOTES = 128
_BEAT = 1.0
"""Seconds until a call is counted, at the latest."""
_CANCELLED = frozenset({"CancelledError", "KeyboardInterrupt", "GeneratorExit"})
_ARTIFACTS: dict[str, semconv.ArtifactChange] = {event: change for change, event in semconv.EVENT_ARTIFACTS.items()}
_ANEW = frozenset({"session_start", "persona_activated", "persona_switched"})
"""Events (docs/events.md) with which a session or persona begins."""


class Observed:
    """An observer of the engine, and a tap of its events."""

    name = "performance monitor"

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._notes = keeper.notes
        self._add_tool, self._add_model = keeper.add_tool, keeper.add_model
        self.flush = keeper.flush
        self._turn: object | None = None
        """What is scheduled belongs to this; another, or none, and it is over."""

    def start(self) -> None:
        """Have what is noted counted every second, on the thread that is there for such things."""
        turn = self._turn = object()
        reaper.start()
        reaper.at(time.monotonic() + _BEAT, partial(self._beat, turn))

    def stop(self) -> None:
        """Have it counted by who asks."""
        self._turn = None

    def in_child(self) -> None:
        """In a forked child: the thread that counts is the parent's."""
        if self._turn is not None:
            self.start()

    def _beat(self, turn: object) -> None:
        if self._turn is turn:
            reaper.at(time.monotonic() + _BEAT, partial(self._beat, turn))
            self.flush()

    def on_end(self, call: Call) -> None:
        """Note a tool's call, a model's request, or the cycle of another. No object of the caller's is kept."""
        durations, request = call.api.durations, call.request
        if durations is None:
            add, told = self._add_model, _asked(call, request)
        elif semconv.TOOL_CALLS in durations:
            inferred = semconv.TOOL_INFERRED in (request.attributes or ())
            add, told = self._add_tool, (request.tool or UNKNOWN, None if inferred else call.duration, outcome(call))
        else:
            add, told = None, ()
        self._notes.append((call.start_clock, call.run, call.cycle, add, told))
        if len(self._notes) >= _MOST_NOTES:
            self.flush()

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


def _asked(call: Call, request: Request) -> tuple[Any, ...]:
    """What `Keeper.add_model` takes."""
    response, cost = call.response, call.cost
    usd = cost.usd if cost is not None else None
    first_chunk = call.first_chunk if request.stream else None
    if response is None:
        return request.model or UNKNOWN, call.duration, outcome(call), None, True, first_chunk, call.retries, usd
    return (
        request.model or response.model or UNKNOWN,
        call.duration,
        outcome(call),
        response.usage,
        not response.repeated,
        first_chunk,
        call.retries,
        usd,
    )


def outcome(call: Call) -> Outcome:
    """How a call ended. Who cancels a tool does not blame it."""
    if call.error_type is None:
        return "ok"
    return "cancelled" if call.error_type in _CANCELLED else "error"
