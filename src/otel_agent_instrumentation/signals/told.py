# SPDX-License-Identifier: Apache-2.0
"""The agent's own events (`plan.generated`, `review.decision`, ...): a log event and a line of the ledger each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from .. import semconv
from ..core import records
from ..core.contain import Contained
from ..core.context import ids_in
from . import attributes
from .counted import EVENT_FIELDS

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import Logger
    from opentelemetry.context import Context

    from ..core.runs import Run
    from .metrics import Metrics

# The fields of the payload in the ledger (E2), and the log event's attributes for them.
FIELDS: dict[str, dict[str, str]] = {
    semconv.EVENT_PLAN_GENERATED: {
        "step_count": semconv.PLAN_STEP_COUNT,
        "reasoning_score": semconv.PLAN_SCORE,
        "selected_tools": semconv.PLAN_TOOLS,
    },
    semconv.EVENT_STEP_STARTED: {
        "index": semconv.STEP_INDEX,
        "tool": semconv.TOOL_NAME,
        "description": semconv.STEP_DESCRIPTION,
    },
    semconv.EVENT_STEP_COMPLETED: {
        "duration_ms": semconv.STEP_DURATION_MS,
        "result_summary": semconv.STEP_RESULT,
        "status": semconv.STEP_STATUS,
    },
    semconv.EVENT_REVIEW_FEEDBACK: {
        "confidence_delta": semconv.REVIEW_CONFIDENCE,
        "comments": semconv.REVIEW_COMMENTS,
        "blocking_issues": semconv.REVIEW_ISSUES,
    },
    semconv.EVENT_REVIEW_DECISION: {"decision": semconv.REVIEW_DECISION},
    semconv.EVENT_PROFILE_SELECTED: {
        "hardware_signature": semconv.OPTIMIZER_HARDWARE,
        "profile": semconv.OPTIMIZER_PROFILE,
    },
    semconv.EVENT_BENCHMARK_COMPLETED: {
        "tokens_per_s": semconv.OPTIMIZER_THROUGHPUT,
        "latency_ms": semconv.OPTIMIZER_LATENCY_MS,
    },
    semconv.EVENT_STATE_ENTERED: {"state": semconv.STATE},
    semconv.EVENT_STATE_EXITED: {"state": semconv.STATE, "dwell_ms": semconv.STATE_DWELL_MS},
}

_LONGEST = 2048
_MOST = 100
_LOG = Contained("told.log")
_COUNT = Contained("told.count")
_EVENT = Contained("told.event")


class Teller:
    """Tells an event under its own name (contracts 1), with the payload that `FIELDS` says."""

    def __init__(
        self,
        logger: Logger,
        redact: Callable[[Mapping[str, Any], str], tuple[Any, list[str]]],
        measured: Metrics,
    ) -> None:
        self._logger = logger
        self._measured = measured
        self._enabled: Any = getattr(logger, "enabled", None)  # a logger of somebody's API may have none
        self._redact = redact

    def tell(self, name: str, payload: Mapping[str, Any], run: Run | None, cycle: int, context: Context) -> None:
        """Emit ``name``, in ``context``. Redacted before it is cut: half a secret looks like none."""
        time_ns = time.time_ns()
        clean, paths = self._redact(payload, "payload")
        told = {key: _bounded(value) for key, value in clean.items()}
        with _COUNT:
            self._measured.event(name, told, run)
        names = FIELDS[name]
        logged: dict[str, Any] = {names[key]: value for key, value in told.items() if value is not None}
        if run is not None:
            logged.update(attributes.of_run(run, cycle))
        with _LOG:  # by itself: processors of anyone's
            self._logger.emit(
                timestamp=time_ns,
                context=context,
                severity_number=SeverityNumber.INFO,
                event_name=name,
                attributes=logged,
            )
        if records.events_wanted():
            ids = ids_in(context) or INVALID_SPAN_CONTEXT
            told["redacted_fields"] = paths
            records.emit(records.EventRecord(name, time_ns, told, ids.trace_id, ids.span_id, run=run, cycle=cycle))

    def record(self, events: deque[records.Announced]) -> None:
        """Count ``events``, and tell those that anybody listens to. The bounded payload are the log's attributes."""
        logged, kept = self._enabled is None or self._enabled(), records.events_wanted()
        while events:
            name, run, make, context = events.popleft()
            with _EVENT:
                record = make() if logged or kept or name in EVENT_FIELDS else None
                with _COUNT:
                    self._measured.event(name, record.payload if record is not None else {}, run)
                if record is not None and logged:
                    self._log(record, context)
                if record is not None and kept:
                    records.emit(record)

    def _log(self, record: records.EventRecord, context: Context | None) -> None:
        with _LOG:  # by itself: processors of anyone's
            clean, _ = self._redact(record.payload, "payload")
            about = attributes.of_run(record.run, record.cycle) if record.run is not None else {}
            self._logger.emit(
                timestamp=record.time_ns,
                context=context,
                severity_number=SeverityNumber.INFO,
                event_name=record.name,
                attributes={**about, **clean},
            )


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[:_LONGEST]
    if isinstance(value, (list, tuple)):
        return [_bounded(item) for item in value[:_MOST]]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return value
