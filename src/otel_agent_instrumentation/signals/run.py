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
from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode, get_current_span, set_span_in_context

from .. import semconv
from ..core import records, runs
from ..core.contain import Contained
from ..core.engine import engine
from ..core.reaper import reaper
from ..core.runs import Run
from ..core.settings import current as settings
from . import attributes
from .spans import identified

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, Tracer

    from ..core.spec import Call

_MOST = 10_000
# Other people's samplers, processors and readers run in it: the ledger's record does not depend on them.
_SDK = Contained("run.sdk")
_CLOSE = Contained("run.close")
_MODEL_CALLS = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION})


class _Memory:
    """Which run asked for a tool call, or gave a response: bounded, the oldest forgotten."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, str], Run] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, keys: list[tuple[str, str]], run: Run) -> None:
        with self._lock:
            for key in keys:
                self._runs[key] = run
            while len(self._runs) > _MOST:
                self._runs.popitem(last=False)

    def get(self, key: tuple[str, str]) -> Run | None:
        return self._runs.get(key)


class RunTracker:
    """Says which run each call belongs to, and ends implicit runs when they are over."""

    def __init__(self, tracer: Tracer, run_ended: Callable[[Run, float, str | None, Context | None], None]) -> None:
        self.tracer = tracer
        self.run_ended = run_ended
        self._answers = _Memory()
        self._traces = _Memory()
        self._open: dict[str, Run] = {}

    def enter(self, call: Call) -> None:
        """Find or begin the call's run; set its cycle and, where no span is current, what it hangs in."""
        request = call.request
        run = runs.current()
        if run is None or run.implicit:
            run = self._implicit(call, run)
            if run is None:
                return
        elif call.above is None:
            _hang(call, run)
        call.run = run
        run.running += 1
        if request.operation in _MODEL_CALLS:
            call.cycle = run.begin_cycle(after_tool_result=bool(request.answers))
        else:
            call.cycle = run.cycle

    def _implicit(self, call: Call, here: Run | None) -> Run | None:
        if not settings().implicit_run:
            return here
        if call.above is not None:
            key = ("trace", f"{call.above.trace_id:032x}")
            run = self._traces.get(key)
            if run is None:
                run = Run(runs.new_id(), settings().agent(), implicit=True)
                self._traces.put([key], run)
            return run
        if here is None and call.api.kind == "SERVER":
            return None  # somebody asks who tells no trace: theirs may be a run, a server's work for them is none
        run = self._answered(call) or here or self._begin(call.start_ns)
        if run is not here and not run.ended:
            runs.set_current(run)
        _hang(call, run)
        return run

    def _answered(self, call: Call) -> Run | None:
        request = call.request
        for answer in request.answers:
            run = self._answers.get((request.provider, answer))
            if run is not None:
                return run
        if request.previous_response is not None:
            return self._answers.get((request.provider, request.previous_response))
        return None

    def _begin(self, now_ns: int) -> Run:
        run = Run(runs.new_id(now_ns), settings().agent(), implicit=True, began_ns=now_ns)
        start_span(self.tracer, run, Context())
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
        if run.implicit:
            run.scratch["error"] = call.error_type

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
        end_span(self, run, run.last_ns or run.began_ns, error if run.outcome == "error" else None)

    def close(self) -> None:
        """End all implicit runs of this process: at exit, before the flush."""
        for run in list(self._open.values()):
            with _CLOSE:
                self.end(run)


def _hang(call: Call, run: Run) -> None:
    """Make the call's span a child of the run's own, whatever the caller's context is."""
    if run.context is not None:
        call.context = run.context
        call.above = run.ids


def start_span(tracer: Tracer, run: Run, parent: Context) -> Span:
    """Start the `invoke_agent` span of ``run`` and make it the run's context."""
    start = {semconv.OPERATION_NAME: semconv.INVOKE_AGENT, **attributes.of_run(run, 0)}
    if run.implicit:
        start[semconv.RUN_IMPLICIT] = True
    if run.task is not None:
        start[semconv.TASK] = run.task
    span = INVALID_SPAN
    with _SDK:
        span = tracer.start_span(
            f"{semconv.INVOKE_AGENT} {run.agent}",
            context=parent,
            kind=SpanKind.INTERNAL,
            attributes=start,
            start_time=run.began_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
    above = get_current_span(parent).get_span_context()
    span = identified(span, above)
    run.scratch.update(span=span, start=start, above=above)
    run.ids = span.get_span_context()
    run.context = set_span_in_context(span, parent)
    return span


def end_span(tracker: RunTracker, run: Run, end_ns: int, error: str | None) -> None:
    """End the run's span at ``end_ns``, with its outcome; record its duration; hand on its record. Once."""
    if run.ended:
        return
    run.ended = True
    engine.drain()  # the calls in it first
    span: Span = run.scratch["span"]
    end: dict[str, Any] = {semconv.RUN_OUTCOME: run.outcome, semconv.RUN_CYCLES: run.cycle}
    if error is not None:
        end[semconv.ERROR_TYPE] = error
    if span.is_recording():
        with _SDK:
            span.set_attributes(end)
            if error is not None:
                span.set_status(Status(StatusCode.ERROR))
            span.end(end_ns)
    with _SDK:
        tracker.run_ended(run, max(0, end_ns - run.began_ns) / 1e9, error, run.context)
    if records.wanted():
        ids, above = span.get_span_context(), run.scratch["above"]
        records.emit(
            records.SpanRecord(
                name=f"{semconv.INVOKE_AGENT} {run.agent}",
                kind="INTERNAL",
                trace_id=ids.trace_id,
                span_id=ids.span_id,
                parent_id=above.span_id if above.is_valid else None,
                start_ns=run.began_ns,
                end_ns=end_ns,
                status="UNSET" if error is None else "ERROR",
                attributes={**run.scratch["start"], **end},
                run=run,
            )
        )
