# SPDX-License-Identifier: Apache-2.0
"""Runs: `run()` for an agent that says what it does, the implicit run for one that does not (contracts 5).

An unchanged agent is one tree: its first model call begins a run with an `invoke_agent` root, to which calls are
parented explicitly. Nothing is put into the caller's OpenTelemetry context. Where the caller has a current span (a
server's request), that span stays the parent and no root is made.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, get_current_span

from .. import semconv
from ..core import runs
from ..core.contain import Contained
from ..core.context import current as current_context
from ..core.context import ids_in, with_span
from ..core.engine import engine
from ..core.reaper import reaper
from ..core.runs import Run
from ..core.settings import current as settings
from ..pipeline.quick import SpanStarter
from . import attributes
from .lifecycle import Lifecycle
from .opened import OpenSpan, open_span
from .tool_calls import infer, tool_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import SpanContext, Tracer

    from ..core.spec import Call, ToolCall
    from .loops import Loops
    from .metrics import Metrics
    from .told import Teller

_MOST = 10_000
_MOST_RUNS = 8
# Other people's samplers, processors and readers run in it: the ledger's record does not depend on them.
_SDK = Contained("run.sdk")
_CLOSE = Contained("run.close")
_TOOLS = Contained("run.tools")
_MODEL_CALLS = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION})


class _Memory:
    """Which run asked for a tool call, or gave a response: bounded, the oldest forgotten."""

    def __init__(self) -> None:
        # Several where ids are used again: some servers number the calls of each answer from 0.
        self._runs: OrderedDict[tuple[str, str], tuple[Run, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, keys: list[tuple[str, str]], run: Run) -> None:
        with self._lock:
            for key in keys:
                known = self._runs.get(key, ())
                self._runs[key] = (*(one for one in known if one is not run), run)[-_MOST_RUNS:]
            while len(self._runs) > _MOST:
                self._runs.popitem(last=False)

    def get(self, key: tuple[str, str], here: Run | None = None) -> Run | None:
        """The run of this id: where there were several ``here`` if it may be, else the last."""
        found = self._runs.get(key)
        if found is None:
            return None
        if here is not None and (here in found or len(found) == _MOST_RUNS):
            return here
        return found[-1]


class RunTracker:
    """Says which run each call and block belongs to, and ends implicit runs when they are over."""

    def __init__(self, tracer: Tracer, measured: Metrics, teller: Teller, loops: Loops | None = None) -> None:
        self.start = SpanStarter(tracer, SpanKind.INTERNAL).start
        self.measured = measured
        self.teller = teller
        self._loops = loops
        self._answers = _Memory()
        self._traces = _Memory()
        self._open: dict[str, Run] = {}
        self.lifecycle = Lifecycle()

    def enter(self, call: Call) -> None:
        """Find or begin the call's run; set its cycle and, where no span is current, what it hangs in."""
        if runs.mend():
            call.context = current_context()
            call.above = ids_in(call.context)
        place = runs.place()
        run = (place.run if place is not None else None) or _outlived(call.above)
        if run is None or run.implicit or run is runs.inherited():
            run = self._unsaid(run, call.above, call.start_ns, call)
            if run is None:
                return
        if call.above is None:
            _hang(call, place.context if place is not None and place.run is run else None, run)
        call.run = run
        run.running += 1
        call.cycle = self._cycle(call, run)
        request = call.request
        if request.answers and request.operation in _MODEL_CALLS:
            with _TOOLS:
                infer(call)
        elif request.tool_call is not None:
            with _TOOLS:
                self._measured(call, request.tool_call, run)

    def _measured(self, call: Call, tool: ToolCall, run: Run) -> None:
        found = tool_calls.measured(run, tool)
        if found is not None:
            call.request.params[semconv.TOOL_CALL_ID] = found
        elif self._loops is not None:
            self._loops.ran(call, tool)

    def active(self) -> Run | None:
        """The run of this thread or task, or of the span that is current in it."""
        run = runs.current()
        if run is not None:
            return run
        above = ids_in(current_context())
        return self.of_trace(above) if above is not None else None

    def of_trace(self, ids: SpanContext) -> Run | None:
        """The run that a trace belongs to, where it began in somebody's span."""
        return self._traces.get(("trace", f"{ids.trace_id:032x}"))

    def _cycle(self, call: Call, run: Run) -> int:
        if run.counted or run.pinned or call.request.operation not in _MODEL_CALLS:
            return runs.cycle_in(run)
        cycle, new = run.begin_cycle(after_tool_result=bool(call.request.answers))
        if new:
            self.measured.cycle_began(run)
        return cycle

    def join(self, above: SpanContext | None, now_ns: int) -> Run | None:
        """The run that a block belongs to which begins here, below the span ``above``; an implicit one if need be."""
        run = runs.current() or _outlived(above)
        if run is None or run.implicit or run is runs.inherited():
            return self._unsaid(run, above, now_ns, None)
        return run

    def _unsaid(self, here: Run | None, above: SpanContext | None, now_ns: int, call: Call | None) -> Run | None:
        """The run where the agent has opened none itself."""
        if not settings().implicit_run:
            return here
        if here is not None and above is not None and here.ids is not None and here.ids.trace_id == above.trace_id:
            return here  # within a block
        if above is not None:
            key = ("trace", f"{above.trace_id:032x}")
            run = self._traces.get(key)
            if run is None and here is not None and call is not None and call.api.durations is not None:
                return here  # what is no model call begins no run
            if run is None:
                run = _new_run(now_ns)
                self._traces.put([key], run)
                runs.active(run)
            return run
        if here is None and call is not None and call.api.kind == "SERVER":
            return None  # somebody asks who tells no trace: theirs may be a run, a server's work for them is none
        open_here = here if here is not None and here.implicit else None
        run = (self._answered(call, open_here) if call is not None else None) or open_here or self._begin(now_ns)
        if run is not here and not run.ended:
            runs.set_current(run)
        return run

    def _answered(self, call: Call, here: Run | None) -> Run | None:
        request = call.request
        for answer in request.answers:
            run = self._answers.get((request.provider, answer), here)
            if run is not None:
                return run
        if request.previous_response is not None:
            return self._answers.get((request.provider, request.previous_response))
        tool = request.tool_call
        if here is None and tool is not None and tool.id is not None:  # a framework runs it in a task of its own
            return tool_calls.asker(tool.id)
        return None

    def _begin(self, now_ns: int) -> Run:
        run, parent = _new_run(now_ns), runs.inherited()
        begin_root(self, run, parent.context or Context() if parent is not None else Context())
        if run.ids is not None:  # what hangs below a tool's span, or comes back from another process, is of this run
            self._traces.put([("trace", f"{run.ids.trace_id:032x}")], run)
        self._open[run.id] = run
        reaper.start()
        reaper.at(time.monotonic() + settings().run_idle, lambda: self._idle(run))
        return run

    def leave(self, call: Call) -> None:
        """The call has ended: remember what it asked for and answered, and how it went."""
        run, response = call.run, call.response
        if run is None:
            return
        run.running -= 1
        run.last_ns = max(run.last_ns, call.end_ns)
        if response is not None:
            provider = call.request.provider
            keys = [(provider, tool.id) for tool in response.tool_calls if tool.id] if response.tool_calls else []
            if response.id and call.api.chained:
                keys.append((provider, response.id))
            if keys:
                self._answers.put(keys, run)
            if response.tool_calls and not response.repeated:
                with _TOOLS:
                    self._asked(call, response.tool_calls)
        if call.request.operation in _MODEL_CALLS:
            reasons = response.finish_reasons if response is not None else ()
            run.last_reason = reasons[0] if reasons else None
            run.wants_more = response is not None and bool(response.tool_calls)
        if run.implicit and call.api.durations is None:  # how a tool's failure is taken is for the model to say
            run.scratch["error"] = call.error_type

    def _asked(self, call: Call, tools: Sequence[ToolCall]) -> None:
        if call.api.dialect:
            tool_calls.remember(call, tools)
        if self._loops is not None:
            self._loops.asked(call, tools)

    def _idle(self, run: Run) -> None:
        if run.ended or run.pid != os.getpid():
            return
        wait = settings().run_idle
        since = (time.time_ns() - (run.last_ns or run.began_ns)) / 1e9
        if run.running > 0 or since < wait:
            reaper.at(time.monotonic() + max(0.05, wait - since if run.running <= 0 else wait), lambda: self._idle(run))
        else:
            self.end(run)

    def end(self, run: Run) -> None:
        """End an implicit run at the time of its last call."""
        if run.ended or run.pid != os.getpid():
            return
        self._open.pop(run.id, None)
        error: str | None = run.scratch.get("error")
        run.outcome = "ok" if error is None else "cancelled" if error == "CancelledError" else "error"
        end_root(self, run, run.last_ns or run.began_ns, error if run.outcome == "error" else None)

    def close(self) -> None:
        """End all implicit runs of this process: at exit, before the flush."""
        for run in list(self._open.values()):
            with _CLOSE:
                self.end(run)


def _new_run(now_ns: int) -> Run:
    """An implicit run: a part of the one that the process inherited, if it did."""
    above = runs.inherited()
    if above is None:
        return Run(runs.new_id(now_ns), settings().agent(), implicit=True, began_ns=now_ns)
    run = Run(above.id, above.agent, implicit=True, began_ns=now_ns, cycle=above.cycle, pinned=above.cycle)
    run.stamp, run.tags, run.task = above.stamp, above.tags, above.task
    return run


def _outlived(above: SpanContext | None) -> Run | None:
    """The run that a thread or task was started in, where it outlives it and still has its span above it."""
    left = runs.raw()
    run = left.run if left is not None else None
    if run is None or run.implicit or above is None or run.ids is None or run.ids.trace_id != above.trace_id:
        return None
    return run


def _hang(call: Call, context: Context | None, run: Run) -> None:
    """Make the call's span a child of the block it is in, else of the run's own, whatever the caller's context is."""
    context = context or run.context
    if context is not None:
        # What else is in the caller's (baggage) stays.
        call.context = with_span(call.context, get_current_span(context)) if call.context else context
        call.above = ids_in(context)


def begin_root(tracker: RunTracker, run: Run, parent: Context) -> OpenSpan:
    """Start the `invoke_agent` span of ``run`` below the one in ``parent`` and make it the run's context."""
    start = {semconv.OPERATION_NAME: semconv.INVOKE_AGENT, **attributes.of_run(run, run.pinned)}
    if run.implicit:
        start[semconv.RUN_IMPLICIT] = True
    if run.task is not None:
        start[semconv.TASK] = run.task
    opened = open_span(tracker.start, f"{semconv.INVOKE_AGENT} {run.agent}", parent, start, run.began_ns)
    run.scratch["root"] = opened
    run.ids = opened.span.get_span_context()
    run.context = opened.context
    with _SDK:
        tracker.measured.run_began(run)
    tracker.lifecycle.began(run)
    return opened


def end_root(tracker: RunTracker, run: Run, end_ns: int | None, error: str | None) -> None:
    """End the run's span at ``end_ns``, or now, with its outcome; record its duration; hand on its record. Once."""
    opened: OpenSpan | None = run.scratch.get("root")
    if run.ended or opened is None:
        return
    run.ended = True
    if opened.pid != os.getpid():
        return
    end: dict[str, Any] = {semconv.RUN_OUTCOME: run.outcome, semconv.RUN_CYCLES: run.cycle}
    for finish in list(run.ending.values()):
        with _CLOSE:
            end.update(finish() or {})
    run.ending.clear()
    engine.drain()  # the calls in it first
    if run.spent is not None:
        end[semconv.RUN_COST_MICROUSD] = round(run.spent * 1_000_000)
    end_ns = max(opened.now() if end_ns is None else end_ns, run.last_ns)  # nor before what it ended itself
    with _SDK:
        tracker.measured.run_ended(run, max(0, end_ns - run.began_ns) / 1e9, error, run.context)
    if (reason := run.stop_reason or error or run.last_reason) is not None:
        end[semconv.RUN_STOP_REASON] = reason
    tracker.lifecycle.ended(run, end_ns, error)
    opened.end(end_ns, end, error, run, run.pinned)
