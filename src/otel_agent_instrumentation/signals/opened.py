# SPDX-License-Identifier: Apache-2.0
"""Spans of the run API: from their start to their end, with a record of them for the ledger."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import INVALID_SPAN, Status, StatusCode

from .. import semconv
from ..core import records
from ..core.contain import Contained
from ..core.context import ids_in, with_span
from ..pipeline.quick import QuickSpan
from .spans import identified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from ..core.runs import Run

# Other people's samplers, processors and readers run in it: the ledger's record does not depend on them.
_SDK = Contained("run.sdk")
_ERROR = Status(StatusCode.ERROR)


def _from_one() -> Iterator[int]:
    return itertools.count(1)


@dataclass(slots=True, eq=False)
class OpenSpan:
    """A span that has begun. Who began it in another process, before a fork, ends it there."""

    name: str
    span: Span
    above: SpanContext | None
    start: dict[str, Any]
    context: Context
    began_ns: int
    clock: int = field(default_factory=time.perf_counter_ns)
    pid: int = field(default_factory=os.getpid)
    steps: Iterator[int] = field(default_factory=_from_one)
    """The numbers of the steps in it."""
    events: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]

    def now(self) -> int:
        """The time in ns by the clock that it began with: never before its start."""
        return self.began_ns + time.perf_counter_ns() - self.clock

    def event(self, name: str, time_ns: int, attributes: dict[str, Any]) -> None:
        """Add an event."""
        self.events.append((name, time_ns, attributes))
        with _SDK:
            self.span.add_event(name, attributes, time_ns)

    def end(self, end_ns: int, attributes: Mapping[str, Any], error: str | None, run: Run | None, cycle: int) -> None:
        """End the span at ``end_ns``, with ``error`` as its `error.type`, and hand on its record."""
        if self.pid != os.getpid():
            return
        end: dict[str, Any] = dict(attributes)
        if error is not None:
            end[semconv.ERROR_TYPE] = error
        if records.wanted():
            records.emit(self._record(end_ns, end, error, run, cycle))
        if self.span.is_recording():
            with _SDK:
                if isinstance(self.span, QuickSpan):
                    self.span.set_clean(end)
                else:
                    self.span.set_attributes(end)
                if error is not None:
                    self.span.set_status(_ERROR)
                self.span.end(end_ns)

    def _record(
        self, end_ns: int, end: dict[str, Any], error: str | None, run: Run | None, cycle: int
    ) -> records.SpanRecord:
        ids = self.span.get_span_context()
        return records.SpanRecord(
            name=self.name,
            kind="INTERNAL",
            trace_id=ids.trace_id,
            span_id=ids.span_id,
            parent_id=self.above.span_id if self.above is not None else None,
            start_ns=self.began_ns,
            end_ns=end_ns,
            status="UNSET" if error is None else "ERROR",
            attributes={**self.start, **end},
            events=list(self.events),
            trace_state=ids.trace_state.to_header() if ids.trace_state else "",
            run=run,
            cycle=cycle,
        )


def open_span(
    start: Callable[..., Span], name: str, parent: Context, attributes: dict[str, Any], began_ns: int
) -> OpenSpan:
    """Begin a span below the one in ``parent``. ``start``: as `SpanStarter.start`."""
    above, span = ids_in(parent), INVALID_SPAN
    with _SDK:
        span = start(name, parent, above, attributes, began_ns)
    span = identified(span, above)
    return OpenSpan(name, span, above, attributes, with_span(parent, span), began_ns)
