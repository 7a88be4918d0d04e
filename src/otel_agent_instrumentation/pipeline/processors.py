# SPDX-License-Identifier: Apache-2.0
"""Our span and log record processors: they weigh a record, queue it, and leave the rest to the lane's worker.

One processor serves one exporter; several exporters are several processors, so that a slow backend never holds up
another. An SDK exporter is taken as it is; one with ``attempt`` (see `otlp`) gets retries and exact accounts.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor

from ..core.contain import Contained
from . import sizes
from .batch import Lane
from .duty import delivering
from .outcome import as_target
from .queue import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from .accounts import Accounts

_SPAN = Contained("pipeline.on_end")
_LOG = Contained("pipeline.on_emit")
_NO_CONTEXT = Context()
_NO_RESOURCE = Resource.get_empty()
SHUTDOWN_SECONDS = 2.0


class AgentSpanProcessor(SpanProcessor):
    """Queues sampled spans for ``exporter``. ``lane`` is what the exit coordinator registers."""

    def __init__(self, exporter: Any, limits: Limits | None = None) -> None:
        self.lane: Lane[ReadableSpan] = Lane("spans", as_target(exporter), limits or Limits())

    @property
    def accounts(self) -> Accounts:
        """The books of this exporter's queue."""
        return self.lane.queue.accounts

    # No `on_start` of its own: a processor that has one makes the guard look at every span as it starts.

    def on_end(self, span: ReadableSpan) -> None:
        """Queue ``span`` if it is sampled. Never raises, never waits."""
        with _SPAN:
            context = span.context
            if context is not None and context.trace_flags & 1:
                self.lane.put(span, sizes.of_span(span))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what is queued, within ``timeout_millis``; returns whether all of it was delivered."""
        return self.lane.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Deliver what can be delivered in two seconds, then drop and count."""
        self.lane.shutdown(SHUTDOWN_SECONDS)


class AgentLogProcessor(LogRecordProcessor):
    """Queues log records for ``exporter``, but not those that the delivery of telemetry itself leaves behind."""

    def __init__(self, exporter: Any, limits: Limits | None = None) -> None:
        self.lane: Lane[ReadableLogRecord] = Lane("log records", as_target(exporter), limits or Limits())
        self._wants: Callable[[Any], bool] | None = getattr(exporter, "wants", None)

    @property
    def accounts(self) -> Accounts:
        """The books of this exporter's queue."""
        return self.lane.queue.accounts

    def enabled(self, *, instrumentation_scope: Any = None, **_: Any) -> bool:
        """Whether the exporter takes records of this scope: who asks spares making one."""
        return self._wants is None or self._wants(instrumentation_scope)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a copy of ``log_record``. Never raises, never waits."""
        if delivering():
            return
        with _LOG:
            record = _twin(log_record.log_record)
            # Neither the caller's context nor a live exception, with all its frames, may wait in a queue.
            record.context = _NO_CONTEXT
            if getattr(record, "exception", None) is not None:
                record.exception = None
            readable = ReadableLogRecord(
                record, log_record.resource or _NO_RESOURCE, log_record.instrumentation_scope, log_record.limits
            )
            self.lane.put(readable, sizes.of_log(log_record))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what is queued, within ``timeout_millis``; returns whether all of it was delivered."""
        return self.lane.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Deliver what can be delivered in two seconds, then drop and count."""
        self.lane.shutdown(SHUTDOWN_SECONDS)


def _twin(record: Any) -> Any:
    """A shallow copy, at a quarter of the price of `copy.copy`, which goes through pickling's protocol."""
    fields = getattr(record, "__dict__", None)
    if fields is None:
        return copy.copy(record)
    twin: Any = object.__new__(cast("type[object]", type(record)))
    twin.__dict__.update(fields)
    return twin
