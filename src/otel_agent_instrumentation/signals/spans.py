# SPDX-License-Identifier: Apache-2.0
"""One span a call, and one record of it for the ledger whether the span was sampled or not."""

from __future__ import annotations

from random import getrandbits
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from .. import semconv
from ..core import records
from ..core.contain import Contained
from ..core.context import with_span
from ..core.settings import current as settings
from ..pipeline.quick import QuickSpan, SpanStarter
from . import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import Span, Tracer

    from ..core.spec import Call, Request

_CONTENT = Contained("spans.content")
_FACTS = Contained("spans.facts")
_SDK = Contained("spans.sdk")
_ERROR = Status(StatusCode.ERROR)


class Spans:
    """The span observer: `chat gpt-5`, CLIENT, current while the library's own code runs."""

    name = "spans"

    def __init__(
        self,
        tracer: Tracer,
        flavours: tuple[semconv.Flavour, ...],
        redact: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        self._starts = {kind: SpanStarter(tracer, SpanKind[kind]).start for kind in ("CLIENT", "INTERNAL", "SERVER")}
        self._cache_write = tuple(dict.fromkeys(flavour.cache_write for flavour in flavours))
        self._redact = redact

    def on_start(self, call: Call) -> None:
        """Start the span, under the call's parent, and put it into the context that the library's code runs in."""
        call.started = start = attributes.at_start(call)
        span = INVALID_SPAN
        with _SDK:  # samplers and processors of anyone's: the ledger's record does not depend on them
            span = self._starts[call.api.kind](name_of(call.request), call.context, call.above, start, call.start_ns)
        ids = span.get_span_context()
        if not ids.is_valid:
            span = identified(span, call.above)
            ids = span.get_span_context()
        call.span, call.ids = span, ids
        call.context = with_span(call.context, span)

    def on_end(self, call: Call) -> None:
        """Hand on the record, and end the span at the call's end."""
        span = call.span
        if span is None:
            return
        recording = span.is_recording()
        if not recording and not records.wanted():
            return
        end: dict[str, Any] = {}
        with _FACTS:  # by itself: a span with some facts is better than none
            attributes.add_end(end, call, self._cache_write)
            _add_content(end, call, self._redact)
        if records.wanted():
            records.emit(_record(call, span, end))
        if recording:
            with _FACTS:
                _tell(span, call, end)
            # Last of all: who sees the span at an exporter finds the metrics and the ledger's line there.
            with _SDK:
                span.end(call.end_ns)


def _tell(span: Span, call: Call, end: dict[str, Any]) -> None:
    if isinstance(span, QuickSpan):
        span.set_clean(end)
    else:
        span.set_attributes(end)
    for time_ns, status in call.attempts:
        span.add_event(semconv.EVENT_ATTEMPT, _attempt(status), time_ns)
    if call.error_type is not None:
        # No description: the message of an API's error may quote the prompt. The class is in `error.type`.
        span.set_status(_ERROR)


def _attempt(status: int | None) -> dict[str, Any]:
    return {semconv.HTTP_STATUS: status} if status is not None else {semconv.ERROR_TYPE: "connection"}


def _add_content(found: dict[str, Any], call: Call, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    mode, hook = settings().content, settings().completion_hook
    on_span = mode in {"SPAN_ONLY", "SPAN_AND_EVENT"}
    if on_span or hook is not None:
        content, given = content_of(call, redact)
        if on_span:
            found.update(content)
        found.update(given)


def content_of(
    call: Call, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The call's content attributes, redacted before they are bounded, and those that the completion hook set.

    The latter are redacted on their way out, like any other, and listed there. Built once and shared by span and event.
    """
    if call.told is not None:
        return call.told
    found: Mapping[str, Any] = {}
    given: Mapping[str, Any] = {}
    with _CONTENT:
        chosen = settings()
        if call.api.content is not None and call.request.body is not None:
            from . import content

            told = content.tell(call.api.content(call.request, call.response), redact)
            if chosen.content != "NO_CONTENT":
                found = content.attributes_of(told, chosen.content_limit)
            if chosen.completion_hook is not None and call.api.durations is None:
                from . import completion

                given = completion.hand_over(told.parts, call.ids)
    call.told = found, given
    return call.told


def name_of(request: Request) -> str:
    """The span's name, as the convention builds it: `chat gpt-5`."""
    if request.name is not None:
        return request.name
    return f"{request.operation} {request.model}" if request.model else request.operation


def identified(span: Span, parent: SpanContext | None) -> Span:
    """``span``, or one with ids where no SDK gives any: the ledger's lines need them."""
    if span.get_span_context().is_valid:
        return span
    trace_id = parent.trace_id if parent is not None and parent.is_valid else getrandbits(128) or 1
    return NonRecordingSpan(SpanContext(trace_id, getrandbits(64) or 1, is_remote=False, trace_flags=TraceFlags(0)))


def _record(call: Call, span: Span, end: dict[str, Any]) -> records.SpanRecord:
    context, parent = span.get_span_context(), call.above
    return records.SpanRecord(
        name=name_of(call.request),
        kind=call.api.kind,
        trace_id=context.trace_id,
        span_id=context.span_id,
        parent_id=parent.span_id if parent is not None else None,
        start_ns=call.start_ns,
        end_ns=call.end_ns,
        status="ERROR" if call.error_type is not None else "UNSET",
        attributes={**(call.started or {}), **end},
        events=[(semconv.EVENT_ATTEMPT, time_ns, _attempt(status)) for time_ns, status in call.attempts],
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        run=call.run,
        cycle=call.cycle,
    )
