# SPDX-License-Identifier: Apache-2.0
"""The guard: the composite processor of a provider, which hands its children redacted spans and log records.

A processor beside an exporter cannot redact (``on_end`` gets a frozen span, a batch processor copies a record before
the next processor sees it), so the guard *is* the provider's composite processor: what is added later sits behind it
too. A clean span or record is passed on as the object that came in. On a fault of ours the children get a span or
record without its values, which says so in ``agent.redaction.fault``; the raw one is never passed on.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk._logs._internal import SynchronousMultiLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import Status

from ..core.contain import Contained
from ..semconv import REDACTION_FAULT
from . import live, parts
from .policy import ERROR, default_policy

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import Span

    from .policy import Policy

# The bodies of these do nothing: a provider with no other children has no live span to redact.
_IDLE_STARTS: Final = (SpanProcessor.on_start, BatchSpanProcessor.on_start, SimpleSpanProcessor.on_start)

_IDLE_ENDINGS: Final = tuple(
    getattr(kind, "_on_ending", None) for kind in (SpanProcessor, BatchSpanProcessor, SimpleSpanProcessor)
)

_ON_START = Contained("redaction.on_start")
_ON_ENDING = Contained("redaction.on_ending")
_ON_END = Contained("redaction.on_end")
_ON_EMIT = Contained("redaction.on_emit")
_SORT = Contained("redaction.children")
_FALLBACK = Contained("redaction.fallback")


class SpanGuard(SynchronousMultiSpanProcessor):
    """A provider's composite span processor whose children never see a raw value."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__()
        self._policy = policy = (policy or default_policy()).at("span")
        self._resource = parts.IdentityCache[Resource](lambda resource: parts.redact_resource(resource, policy))
        self._scope = parts.IdentityCache[Any](lambda scope: parts.redact_scope(scope, policy))

        self._known_clean: tuple[Any, Any] = (None, self)  # matches no span
        self._seen: tuple[SpanProcessor, ...] = ()
        self._starters: list[SpanProcessor] = []
        self._enders: list[SpanProcessor] = []

    def apart(self) -> SpanGuard:
        """Return a guard like this one, with no children, that counts for itself."""
        return type(self)(self._policy.apart())

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Redact what the span starts with, in place, then start it for the children that look."""
        if self._span_processors is not self._seen:
            with _SORT:
                self._sort_children()
        if not self._starters:
            return
        safe = False
        with _ON_START:
            live.redact_start(span, self._policy, self._resource)
            safe = True
        if not safe:
            with _FALLBACK:
                live.empty(span)
                safe = True
        if safe:
            for child in self._starters:
                child.on_start(span, parent_context=parent_context)

    def _on_ending(self, span: Span) -> None:
        # The span is frozen by now, its end not yet told: few processors ask for this, the others need no work.
        if self._span_processors is not self._seen:
            with _SORT:
                self._sort_children()
        children = self._enders
        if not children:
            return
        safe = False
        with _ON_ENDING:
            live.replace(span, self.redact(span))
            if self.redact(span) is not span:
                # A private field moved: the children do not see this span before its end.
                raise RuntimeError("a live span could not be redacted")
            safe = True
        if safe:
            for child in children:
                child._on_ending(span)  # noqa: SLF001 - what the SDK's own composite calls

    def on_end(self, span: ReadableSpan) -> None:
        """Hand a redacted span to the children: ``span`` itself where nothing in it is secret."""
        clean = None
        with _ON_END:
            clean = span if self._is_clean(span) else self.redact(span)
        if clean is None:
            with _FALLBACK:
                clean = _stripped_span(span)
        if clean is not None:
            for child in self._span_processors:
                child.on_end(clean)

    def _is_clean(self, span: ReadableSpan) -> bool:
        """Whether the usual span is clean, told by its private fields; False where it takes a closer look."""
        fields = vars(span)
        attributes = getattr(fields.get("_attributes"), "_dict", None)
        context, parent = fields.get("_context"), fields.get("_parent")
        return (
            not fields.get("_events", True)
            and not fields.get("_links", True)
            and attributes is not None
            and context is not None
            and not context.trace_state
            and (parent is None or not parent.trace_state)
            and (fields.get("_resource"), fields.get("_instrumentation_scope")) == self._known_clean
            and fields["_status"].description is None
            and self._policy.text(fields["_name"]) is fields["_name"]
            and self._policy.attributes(attributes) is attributes
        )

    def redact(self, span: ReadableSpan) -> ReadableSpan:
        """Return ``span`` redacted; the same object if clean."""
        policy = self._policy
        raw_name, raw_resource, raw_scope = span.name, span.resource, span.instrumentation_scope
        raw_status = span.status
        raw_description, raw_context, raw_parent = raw_status.description, span.context, span.parent
        raw_attributes = parts.snapshot(span.attributes)
        # Asking first whether there are any spares two copies; a private field that moved means asking in public.
        raw_events = span.events if getattr(span, "_events", True) else ()
        raw_links = span.links if getattr(span, "_links", True) else ()
        name = policy.text(raw_name)
        attributes = policy.attributes(raw_attributes)
        events = parts.redact_events(raw_events, policy) if raw_events else raw_events
        links = parts.redact_links(raw_links, policy) if raw_links else raw_links
        description = policy.text(raw_description) if raw_description else raw_description
        context = parts.redact_context(raw_context, policy) if raw_context else raw_context
        parent = parts.redact_context(raw_parent, policy) if raw_parent else raw_parent
        resource, scope = raw_resource, raw_scope
        known = self._known_clean
        if raw_resource is not known[0] or raw_scope is not known[1]:
            resource, scope = self._origin(raw_resource, raw_scope)
        if (
            attributes is raw_attributes
            and events is raw_events
            and links is raw_links
            and name is raw_name
            and description is raw_description
            and context is raw_context
            and parent is raw_parent
            and resource is raw_resource
            and scope is raw_scope
        ):
            return span
        pairs = {"name": (raw_name, name), "events": (raw_events, events), "links": (raw_links, links)}
        attributes = parts.listed(raw_attributes, attributes, pairs | {"status": (raw_description, description)})
        clean = {"name": name, "context": context, "parent": parent, "attributes": attributes, "events": events}
        return _rebuilt(span, description, links=links, resource=resource, instrumentation_scope=scope, **clean)

    def _origin(self, raw_resource: Resource, raw_scope: Any) -> tuple[Resource, Any]:
        resource, scope = self._resource(raw_resource), self._scope(raw_scope)
        if resource is raw_resource and scope is raw_scope:
            self._known_clean = (resource, scope)
        return resource, scope

    def _sort_children(self) -> None:
        """Find the children that look at a live span: for the SDK's own there is nothing to redact before the end."""
        children = self._span_processors
        self._starters = [child for child in children if type(child).on_start not in _IDLE_STARTS]
        self._enders = [child for child in children if getattr(type(child), "_on_ending", None) not in _IDLE_ENDINGS]
        self._seen = children


class LogGuard(SynchronousMultiLogRecordProcessor):
    """A provider's composite log record processor whose children never see a raw value."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__()
        self._policy = policy = (policy or default_policy()).at("log")
        self._resource = parts.IdentityCache[Resource](lambda resource: parts.redact_resource(resource, policy))
        self._scope = parts.IdentityCache[Any](lambda scope: parts.redact_scope(scope, policy))

    def apart(self) -> LogGuard:
        """Return a guard like this one, with no children, that counts for itself."""
        return type(self)(self._policy.apart())

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Hand a redacted record to the children: ``log_record`` itself where nothing in it is secret."""
        clean = None
        with _ON_EMIT:
            clean = self.redact(log_record)
        if clean is None:
            with _FALLBACK:
                clean = _stripped_record(log_record)
        if clean is not None:
            super().on_emit(clean)

    def redact(self, record: ReadWriteLogRecord) -> ReadWriteLogRecord:
        """Return ``record`` redacted; the same object if clean. A record that its sender keeps is not changed."""
        policy, raw = self._policy, record.log_record
        raw_attributes = parts.snapshot(raw.attributes)
        attributes = policy.attributes(raw_attributes)
        body = policy.value("body", raw.body)
        event_name = parts.optional_text(raw.event_name, policy)
        severity = parts.optional_text(raw.severity_text, policy)
        resource = self._resource(record.resource) if record.resource is not None else None
        scope = self._scope(record.instrumentation_scope)
        if (
            attributes is raw_attributes
            and body is raw.body
            and event_name is raw.event_name
            and severity is raw.severity_text
            and getattr(raw, "exception", None) is None
            and resource is record.resource
            and scope is record.instrumentation_scope
        ):
            return record
        pairs = {"body": (raw.body, body), "event_name": (raw.event_name, event_name)}
        attributes = parts.listed(raw_attributes, attributes, pairs)
        inner = copy.copy(raw)
        inner.body, inner.event_name, inner.severity_text = body, event_name, severity
        inner.attributes = parts.rebound(raw.attributes, attributes)
        return _rewrapped(record, inner, resource, scope)


def _rewrapped(record: ReadWriteLogRecord, inner: Any, resource: Resource | None, scope: Any) -> ReadWriteLogRecord:
    # Its attributes already hold the live exception's type, message and trace, redacted; the exception would give them
    # raw to whoever formats it again.
    if hasattr(inner, "exception"):
        inner.exception = None
    outer = copy.copy(record)
    outer.log_record, outer.resource, outer.instrumentation_scope = inner, resource, scope
    return outer


def _rebuilt(span: ReadableSpan, description: str | None, **clean: Any) -> ReadableSpan:
    """Return a twin of ``span`` of the ``clean`` parts, its counts of dropped parts kept."""
    clean["attributes"] = parts.rebound(None, clean["attributes"], dropped=span.dropped_attributes)
    clean["events"] = parts.bounded(clean["events"], span.dropped_events)
    clean["links"] = parts.bounded(clean["links"], span.dropped_links)
    if clean["instrumentation_scope"] is span.instrumentation_scope:
        # Some exporters still read it; the property itself warns of its deprecation.
        clean["instrumentation_info"] = getattr(span, "_instrumentation_info", None)
    return ReadableSpan(
        kind=span.kind,
        status=Status(span.status.status_code, description),
        start_time=span.start_time,
        end_time=span.end_time,
        **clean,
    )


def _stripped_span(span: ReadableSpan) -> ReadableSpan:
    """Return ``span`` without its values: ids, times, kind and status code stay."""
    return ReadableSpan(
        name=ERROR,
        context=parts.bare_context(span.context),
        parent=parts.bare_context(span.parent),
        resource=Resource.get_empty(),
        attributes=parts.rebound(None, {REDACTION_FAULT: True}, dropped=len(span.attributes or ())),
        events=parts.bounded((), len(span.events)),
        links=parts.bounded((), len(span.links)),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _stripped_record(record: ReadWriteLogRecord) -> ReadWriteLogRecord:
    """Return ``record`` without its values: ids, times and severity number stay."""
    inner = copy.copy(record.log_record)
    inner.body, inner.event_name, inner.severity_text = ERROR, None, None
    inner.attributes = parts.rebound(None, {REDACTION_FAULT: True}, dropped=len(record.log_record.attributes or ()))
    return _rewrapped(record, inner, Resource.get_empty(), None)
