# SPDX-License-Identifier: Apache-2.0
"""What the instrumentation tells the performance monitor: calls that ended, and events of runs."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core import runs
from ..core.contain import Contained
from ..core.reaper import reaper
from .heard import UNKNOWN, number

if TYPE_CHECKING:
    from ..core.records import EventRecord
    from ..core.spec import Call, Cost, Usage
    from .facts import Outcome
    from .keeper import Keeper
    from .limits import Found, Rule

    Note = tuple[
        int,
        runs.Run | None,
        int,
        tuple[str, ...] | None,
        float,
        str | None,
        str | None,
        dict[str, Any] | None,
        str | None,
        Usage | None,
        bool,
        float | None,
        int,
        Cost | None,
    ]
    """What `Observed.on_end` says of a call: a tuple is made at half the price of a thing with names."""

_COUNT = Contained("monitor.count")
_WARN = Contained("monitor.alert")

_MOST_NOTES = 128
_BEAT = 1.0
"""Seconds until a call is counted, at the latest."""
_CANCELLED = frozenset({"CancelledError", "KeyboardInterrupt", "GeneratorExit"})
_ARTIFACTS: dict[str, semconv.ArtifactChange] = {event: change for change, event in semconv.EVENT_ARTIFACTS.items()}
_ANEW = frozenset({"session_start", "persona_activated", "persona_switched"})
"""Events (docs/events.md) with which a session or persona begins."""


class Observed:
    """An observer of the engine, and a tap of its events.

    Calls are noted as they end and counted in bursts: one by one, each amid a call's other work, they would cost three
    times as much.
    """

    name = "performance monitor"

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        keeper.flush = self.flush
        self._notes: deque[Note] = deque()
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
        """Note a call. No object of the caller's is kept, and nothing is called here: code that is cold costs most."""
        request, response = call.request, call.response
        if response is None:
            answered, usage, own = None, None, True
        else:
            answered, usage, own = response.model, response.usage, not response.repeated
        self._notes.append(
            (
                call.start_clock,
                call.run,
                call.cycle,
                call.api.durations,
                call.duration,
                call.error_type,
                request.tool,
                request.attributes,
                request.model or answered,
                usage,
                own,
                call.first_chunk if request.stream else None,
                call.retries,
                call.cost,
            )
        )
        if len(self._notes) >= _MOST_NOTES:
            self.flush()

    def flush(self) -> None:
        """Count what was noted: all of it, whoever counts."""
        if not self._notes:
            return
        late: list[tuple[tuple[Rule, str, float, float], runs.Run | None, int]] = []
        with self._keeper.lock:
            while self._notes:
                try:
                    note = self._notes.popleft()
                except IndexError:  # a finaliser that ran amid this was quicker
                    break
                with _COUNT:
                    found = self._count(note)
                    if found is not None:
                        late.append((found, note[1], note[2]))
        for found, run, cycle in late:
            with _WARN:
                self._warn_in(run, cycle, found)

    def _count(self, note: Note) -> Found:
        """Count a tool or a model's request; of others, the cycle."""
        (
            start,
            run,
            cycle,
            durations,
            seconds,
            error,
            tool,
            attributes,
            model,
            usage,
            own,
            first_chunk,
            retries,
            cost,
        ) = note
        keeper = self._keeper
        found: Found = None
        if start < keeper.facts.began_clock:
            return None  # it began before the last reset
        if durations is None:
            usd = cost.usd if cost is not None else None
            found = keeper.add_model(
                "engine", model or UNKNOWN, seconds, outcome(error), usage, own, first_chunk, retries, usd
            )
        elif semconv.TOOL_CALLS in durations:
            inferred = semconv.TOOL_INFERRED in (attributes or ())
            found = keeper.add_tool("engine", tool or UNKNOWN, None if inferred else seconds, outcome(error))
        if run is not None and cycle:
            keeper.add_cycle(run, cycle)
        return found

    def _warn_in(self, run: runs.Run | None, cycle: int, found: tuple[Rule, str, float, float]) -> None:
        """Warn where the call was: in its run, whose thread or task this need not be."""
        if run is None or runs.current() is run:
            self._keeper.warn(found)
            return
        place = runs.Place(run, cycle or None, run.context)
        runs.go_in(place)
        try:
            self._keeper.warn(found)
        finally:
            runs.go_out(place)

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


def outcome(error: str | None) -> Outcome:
    """How a call ended, by its `error.type`. Who cancels a tool does not blame it."""
    if error is None:
        return "ok"
    return "cancelled" if error in _CANCELLED else "error"
