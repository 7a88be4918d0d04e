# SPDX-License-Identifier: Apache-2.0
"""Run id, cycle and what a run was given, on every span and log below it: also on those that others make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from .. import semconv
from ..core import runs
from ..core.contain import Contained
from ..pipeline.quick import QuickSpan
from ..redaction.guard import SpanGuard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import Span

_SPAN = Contained("stamp.span")
_LOG = Contained("stamp.log")


def _here() -> Mapping[str, Any] | None:
    run = runs.current()
    if run is None:
        return None
    from ..core.engine import current_call  # a run is there, so it is imported

    call = current_call()
    cycle = call.cycle if call is not None and call.run is run else runs.cycle_in(run)
    return {
        **run.stamp,
        semconv.RUN_ID: run.id,
        semconv.AGENT_NAME: run.agent,
        **({semconv.CYCLE: cycle} if cycle else {}),
    }


def _stamp(span: Span) -> None:
    scope = span.instrumentation_scope
    if scope is None or scope.name != semconv.SCOPE:  # ours carry it from birth
        here = _here()
        if here is not None:
            span.set_attributes(here)


class StampingGuard(SpanGuard):
    """The guard of a provider of ours: it stamps, too, which spares a child that looks at every starting span."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a foreign span, then guard it."""
        if type(span) is not QuickSpan:  # no foreign one
            with _SPAN:
                _stamp(span)
        super().on_start(span, parent_context=parent_context)


class SpanStamp(SpanProcessor):
    """The same as a processor, for providers of the application."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's signature
        """Stamp a foreign span."""
        with _SPAN:
            _stamp(span)


class LogStamp(LogRecordProcessor):
    """Stamps log records and events."""

    def enabled(self, **_: Any) -> bool:
        """Whether a record is wanted is for those to say who take it anywhere."""
        return False

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Add the run's attributes to a record that has none."""
        with _LOG:
            record = log_record.log_record
            if semconv.RUN_ID in (record.attributes or ()):
                return
            here = _here()
            if here is not None:
                record.attributes = {**here, **(record.attributes or {})}

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is held
        """Nothing is held."""
        return True
