# SPDX-License-Identifier: Apache-2.0
"""What an agent does in a run, as it says itself: cycles, steps, plans, reviews, states, and the optimizer's choices.

Each block has the span that contracts 5 gives it and tells the core events of the envelope (E2). What the agent puts
into an event is its own choice, and is redacted and cut; arguments and results are never read by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, cast

from opentelemetry.trace import get_current_span

from .. import semconv
from ..core import runs
from ..core.contain import Contained, warn_once
from ..core.engine import engine
from ..redaction.policy import default_policy
from .blocks import Block, SpanBlock, cycle_of, how, where
from .opened import OpenSpan
from .run import RunTracker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.runs import Place

_EVENT = Contained("run.event")

Decision = Literal["accept", "revise", "abort"]
_DECISIONS = ("accept", "revise", "abort")
_STATUSES = frozenset({"ok", "error", "cancelled", "skipped"})


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _texts(values: object) -> list[str]:
    """Texts, of one or of a few; what else somebody gave is told by its `str`."""
    return [str(value) for value in values] if isinstance(values, (list, tuple, set, frozenset)) else [str(values)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _number(value: object) -> float | None:
    """A number that JSON can say, else None."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) else None


def _fields(value: object, *names: str) -> dict[str, Any]:
    """Those of ``names`` that a mapping, or a dataclass or named tuple, holds."""
    if isinstance(value, Mapping):
        found = cast("Mapping[Any, Any]", value)
    elif is_dataclass(value) or isinstance(value, tuple):
        found = {name: getattr(cast("object", value), name, None) for name in names}
    else:
        return {}
    return {name: found[name] for name in names if found.get(name) is not None}


def _tell(name: str, payload: Mapping[str, Any], block: Place | None = None) -> None:
    """Tell an event of a block that is open, or of where we are. Never raises."""
    with _EVENT:
        tracker = engine.runs
        if not isinstance(tracker, RunTracker):
            return
        if block is not None and block.context is not None:
            tracker.teller.tell(name, payload, block.run, cycle_of(block), block.context)
        else:
            run, context = where(tracker, time.time_ns())
            tracker.teller.tell(name, payload, run, runs.cycle_in(run) if run is not None else 0, context)


class cycle(SpanBlock):  # noqa: N801 - used as a verb, as all of these
    """One cycle of the run: the next number, and the span `agent.cycle`.

    Where a run has such blocks, tool results no longer begin cycles by themselves, and what is outside of a block is
    outside of any cycle (0).
    """

    @property
    def number(self) -> int:
        """From 1; 0 outside the block."""
        return (self._places[-1].cycle or 0) if self._places else 0

    def _begin(self) -> Place:
        return self._start(semconv.SPAN_CYCLE, {}, counts=True)

    def _end(self, place: Place, error: BaseException | None) -> None:
        self._finish(place, error, {}, semconv.CYCLE_DURATION)


class step(SpanBlock):  # noqa: N801
    """One step of a plan: the span `agent.step`, and the events `plan.step_started` and `plan.step_completed`.

    :param description: what is to be done, in a few words.
    :param tool: the tool that does it.
    :param index: its place in the plan; by default steps are counted from 1 within the block that they are in.

    Within the block, set `result` to a summary of what came of it, and `status` where it is none of `ok`, `error` and
    `cancelled`, by which it is told otherwise.
    """

    def __init__(self, description: str | None = None, *, tool: str | None = None, index: int | None = None) -> None:
        self._places = []
        self._given = (description, tool, index)
        self.result: str | None = None
        self.status: str | None = None

    def _begin(self) -> Place:
        description, tool, index = self._given
        self.result = self.status = None  # of an earlier step with the same object
        own: dict[str, Any] = {semconv.STEP_INDEX: index}
        if tool is not None:
            own[semconv.TOOL_NAME] = str(tool)
        place = self._start(semconv.SPAN_STEP, own)
        payload = {"index": own[semconv.STEP_INDEX], "tool": _text(tool), "description": _text(description)}
        _tell(semconv.EVENT_STEP_STARTED, payload, place)
        return place

    def _end(self, place: Place, error: BaseException | None) -> None:
        status = str(self.status or how(error))
        labels = {semconv.STEP_STATUS: status if status in _STATUSES else "other"}
        seconds = self._finish(place, error, {semconv.STEP_STATUS: status}, semconv.STEP_DURATION, labels)
        payload = {"duration_ms": seconds * 1000, "result_summary": _text(self.result), "status": status}
        _tell(semconv.EVENT_STEP_COMPLETED, payload, place)


class plan(SpanBlock):  # noqa: N801
    """The making of a plan: the span `plan <agent>`, and the event `plan.generated` unless an exception leaves it.

    Say within the block what the plan is. A decorated function that returns a list of steps needs to say nothing.

    :param step_count: how many steps it has.
    :param reasoning_score: how sure the agent is of it, as the agent measures that.
    :param selected_tools: the names of the tools that it uses.
    """

    def __init__(
        self,
        step_count: int | None = None,
        *,
        reasoning_score: float | None = None,
        selected_tools: Sequence[str] = (),
    ) -> None:
        self._places = []
        self.step_count = step_count
        self.reasoning_score = reasoning_score
        self.selected_tools = selected_tools

    def _begin(self) -> Place:
        return self._start(semconv.PLAN, {semconv.OPERATION_NAME: semconv.PLAN}, of_agent=True)

    def read(self, value: object) -> None:
        """Take the length of a list."""
        if self.step_count is None and isinstance(value, (list, tuple)):
            self.step_count = len(value)  # pyright: ignore[reportUnknownArgumentType]

    def _end(self, place: Place, error: BaseException | None) -> None:
        if how(error) == "ok":
            payload = {
                "step_count": self.step_count if type(self.step_count) is int else None,
                "reasoning_score": _number(self.reasoning_score),
                "selected_tools": _texts(self.selected_tools),
            }
            _tell(semconv.EVENT_PLAN_GENERATED, payload, place)
        self._finish(place, error, {})


class review(SpanBlock):  # noqa: N801
    """A review of what was done: the span `agent.review`, and the events `review.feedback_generated` and `.decision`.

    A decorated function that returns `accept`, `revise` or `abort` has decided with it; one that returns findings (a
    mapping, dataclass or named tuple with a `decision`, and `comments`, `confidence_delta`, `blocking_issues` if there
    are any) needs to say nothing else.
    """

    def feedback(
        self,
        comments: str | Sequence[str] = (),
        *,
        confidence_delta: float | None = None,
        blocking_issues: Sequence[str] = (),
    ) -> None:
        """Tell what the review found.

        :param comments: what it says, redacted and cut at 2048 characters each.
        :param confidence_delta: by how much the confidence in the work changed.
        :param blocking_issues: what stands in the way of accepting it.
        """
        with _EVENT:
            payload = {
                "confidence_delta": _number(confidence_delta),
                "comments": _texts(comments),
                "blocking_issues": _texts(blocking_issues),
            }
            _tell(semconv.EVENT_REVIEW_FEEDBACK, payload, self._open())

    def decide(self, decision: Decision) -> None:
        """Tell the verdict: `accept`, `revise` or `abort`. Anything else is one warning."""
        if decision in _DECISIONS:
            _tell(semconv.EVENT_REVIEW_DECISION, {"decision": decision}, self._open())
        else:
            warn_once(
                "review:decision", "otel-agent: review decision %r is not one of %s; ignored", decision, _DECISIONS
            )

    def _open(self) -> Place | None:
        return self._places[-1] if self._places else None

    def _begin(self) -> Place:
        return self._start(semconv.SPAN_REVIEW, {})

    def read(self, value: object) -> None:
        """Take a verdict, or findings with one."""
        found = _fields(value, "decision", "comments", "confidence_delta", "blocking_issues")
        decision = value if isinstance(value, str) else found.pop("decision", None)
        if not isinstance(decision, str) or decision not in _DECISIONS:
            return
        if found:
            self.feedback(**found)
        _tell(semconv.EVENT_REVIEW_DECISION, {"decision": decision}, self._open())

    def _end(self, place: Place, error: BaseException | None) -> None:
        self._finish(place, error, {})


class state(Block):  # noqa: N801
    """A state of the agent's mind (OBSERVE, ORIENT, DECIDE, ACT, or any others): how often, and for how long.

    An event on the span that is current, the events `agent.state.entered` and `agent.state.exited`, and the metrics
    `agent.state.entries` and `agent.state.dwell`; no span of its own. Within another state it is counted in both.

    :param name: one of a small number of names: it becomes a metric label.
    """

    def __init__(self, name: str) -> None:
        self._places = []
        self.name = name

    def _begin(self) -> Place:
        tracker, here = engine.runs, runs.place()
        if not isinstance(tracker, RunTracker):
            return runs.Place(here.run if here is not None else None)
        now, name = time.time_ns(), str(self.name)
        run, context = where(tracker, now)
        _mark(here, name, now)
        _tell(semconv.EVENT_STATE_ENTERED, {"state": name})
        tracker.measured.state_entered(name, run)
        same = here is not None and here.run is run
        stay = (name, time.perf_counter_ns(), context)
        return runs.Place(run, here.cycle if here is not None and same else None, scratch=stay)

    def _end(self, place: Place, error: BaseException | None) -> None:  # noqa: ARG002 - a stay is a stay
        tracker = engine.runs
        if not isinstance(tracker, RunTracker) or place.scratch is None:
            return
        name, clock, context = place.scratch
        seconds = (time.perf_counter_ns() - clock) / 1e9
        tracker.measured.measure(semconv.STATE_DWELL, seconds, {semconv.STATE: name}, place.run, context)
        payload = {"state": name, "dwell_ms": seconds * 1000}
        with _EVENT:
            tracker.teller.tell(semconv.EVENT_STATE_EXITED, payload, place.run, cycle_of(place), context)


def _mark(here: Place | None, name: str, now: int) -> None:
    """Put the state's event on the span that is current, and into that span's record where it is a block's."""
    told = {semconv.STATE: str(default_policy().text(name))}
    span = get_current_span()
    place = here
    while place is not None:
        if isinstance(place.scratch, OpenSpan) and place.scratch.span is span:
            place.scratch.event(semconv.EVENT_STATE_ENTERED, now, told)
            return
        place = place.above
    if span.is_recording():
        span.add_event(semconv.EVENT_STATE_ENTERED, told, now)
    elif here is not None and here.run is not None and "root" in here.run.scratch:
        here.run.scratch["root"].event(semconv.EVENT_STATE_ENTERED, now, told)


def profile(name: str, hardware: str | None = None) -> None:
    """Tell `optimizer.profile_selected`: a profile was chosen, for a hardware signature. Never raises."""
    _tell(semconv.EVENT_PROFILE_SELECTED, {"hardware_signature": _text(hardware), "profile": str(name)})


def benchmark(tokens_per_s: float | None = None, latency_ms: float | None = None) -> None:
    """Tell `optimizer.benchmark_completed`: throughput in tokens a second, latency in milliseconds. Never raises."""
    payload = {"tokens_per_s": _number(tokens_per_s), "latency_ms": _number(latency_ms)}
    _tell(semconv.EVENT_BENCHMARK_COMPLETED, payload)
