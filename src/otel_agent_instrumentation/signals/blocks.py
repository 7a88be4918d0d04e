# SPDX-License-Identifier: Apache-2.0
"""What the blocks of the run API share: context manager and decorator, sync and async, and never in the way.

A block may be left in any order and in another thread or task than it was entered in; `core.runs` keeps straight where
everybody is. A decorated generator is in its block while its own code runs, and not while its consumer's does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from .. import semconv
from ..core import runs
from ..core.contain import Contained
from ..core.context import current as current_context
from ..core.context import ids_in
from ..core.engine import engine
from . import attributes
from .decorated import decorated
from .opened import OpenSpan, open_span
from .run import RunTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.context import Context
    from typing_extensions import Self

    from ..core.runs import Place, Run

P = ParamSpec("P")
R = TypeVar("R")

_BLOCK = Contained("block")


class Block:
    """A part of an agent's work. Subclasses say what happens at its beginning and its end."""

    def __init__(self) -> None:
        self._places: list[Place] = []

    def _begin(self) -> Place:
        """Start what the block is; its place, which the caller goes into."""
        return runs.place() or runs.Place(None)

    def _end(self, place: Place, error: BaseException | None) -> None:
        """End it: nobody is in it any more."""

    def read(self, value: object) -> None:
        """Take what there is to know from what a decorated function returned."""

    def __enter__(self) -> Self:
        with _BLOCK:
            place = self._begin()
            self._places.append(place)  # first: what goes wrong from here on is undone at the exit
            runs.go_in(place)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        place: Place | None = None
        with _BLOCK:
            place = self._take()
        if place is None and self._places:
            place = self._places.pop()  # a fault of ours
        if place is None:
            return
        left = False
        with _BLOCK:  # each by itself: the caller's context comes first
            runs.go_out(place)
            left = True
        if not left:
            with _BLOCK:
                runs.go_out(place)
        with _BLOCK:
            self._end(place, error)

    def _take(self) -> Place | None:
        """The place that is left: one object may serve several threads and tasks at once."""
        here = runs.raw()
        if here is not None and here in self._places:
            self._places.remove(here)
            return here
        return self._places.pop() if self._places else None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _again(self) -> Self:
        """A block of the same kind and arguments, for one call of a decorated function."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.__dict__["_places"] = []
        return made

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Make each call of ``function`` such a block; of a generator, its whole life."""
        with _BLOCK:
            return decorated(self._again, function)
        return function


class SpanBlock(Block):
    """A block with a span of its own, in the run that is open here."""

    def _start(self, name: str, own: dict[str, Any], *, counts: bool = False, of_agent: bool = False) -> Place:
        """Begin the span ``name`` with the attributes ``own``.

        ``counts``: it is a cycle of its run. ``of_agent``: the agent's name is part of the span's.
        """
        tracker, here = engine.runs, runs.place()
        if not isinstance(tracker, RunTracker):
            return runs.Place(here.run, here.cycle) if here is not None else runs.Place(None)
        now = time.time_ns()
        run, parent = where(tracker, now)
        around = here if here is not None and here.run is run else None
        number = around.cycle if around is not None else None
        if counts and run is not None:
            number, new = run.next_cycle()
            if new:
                tracker.measured.cycle_began(run)
        if own.get(semconv.STEP_INDEX, 0) is None:
            own[semconv.STEP_INDEX] = _count(around, run)
        if run is not None:
            run.running += 1
            own.update(attributes.of_run(run, runs.cycle_in(run) if number is None else number))
            name = f"{name} {run.agent}" if of_agent else name
        opened = open_span(tracker.start, name, parent, own, now)
        return runs.Place(run, number, opened.context, scratch=opened)

    def _finish(
        self,
        place: Place,
        error: BaseException | None,
        end: dict[str, Any],
        metric: str | None = None,
        labels: dict[str, Any] | None = None,
    ) -> float:
        """End the block's span with the attributes ``end`` and record its seconds in ``metric``; the seconds."""
        opened: OpenSpan | None = place.scratch
        if opened is None:
            return 0.0
        end_ns, run = opened.now(), place.run
        failed = type(error).__qualname__ if error is not None and how(error) == "error" else None
        if run is not None:
            run.running -= 1
            run.last_ns = max(run.last_ns, end_ns)
        seconds, tracker = (end_ns - opened.began_ns) / 1e9, engine.runs
        if metric is not None and isinstance(tracker, RunTracker):
            with _BLOCK:
                told = {semconv.ERROR_TYPE: failed, **(labels or {})}
                tracker.measured.measure(metric, seconds, told, run, opened.context)
        opened.end(end_ns, end, failed, run, cycle_of(place))
        return seconds


def where(tracker: RunTracker, now_ns: int) -> tuple[Run | None, Context]:
    """The run that what begins here and now belongs to, and the OTel context that it hangs in."""
    runs.mend()
    here, context = runs.place(), current_context()
    above = ids_in(context)
    run = tracker.join(above, now_ns)
    if above is None and run is not None:
        within = here.context if here is not None and here.run is run else None
        context = within or run.context or context
    return run, context


def _count(around: Place | None, run: Run | None) -> int:
    """The next number of a step in the innermost block around it, else in its run."""
    while around is not None and not isinstance(around.scratch, OpenSpan):
        around = around.above
    opened: OpenSpan | None = around.scratch if around is not None else None
    if opened is None and run is not None:
        opened = run.scratch.get("root")
    return next(opened.steps) if opened is not None else 1


def cycle_of(place: Place) -> int:
    """The cycle that a block is in."""
    if place.cycle is not None:
        return place.cycle
    return runs.cycle_in(place.run) if place.run is not None else 0


def how(error: BaseException | None) -> Literal["ok", "error", "cancelled"]:
    """How a block ended that ``error`` leaves."""
    if error is None:
        return "ok"
    if type(error).__name__ == "CancelledError" or isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return "cancelled"
    return "ok" if isinstance(error, SystemExit) and not error.code else "error"
