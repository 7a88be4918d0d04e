# SPDX-License-Identifier: Apache-2.0
"""The self-check (L4): does each provider's way out redact? If one does not, content must not be captured.

A canary in every place of a span, log record or metric goes through the very object that the provider would send
through, without reaching a processor; then the provider's references are checked to lead to that object.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001
from __future__ import annotations

from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from ..core import contain
from . import install
from .processors import LogGuard, SpanGuard

_CHECK: Final = contain.Contained("redaction.self_check")
# In two pieces, so that a scan of this file finds no key; the second stands under a secret's name.
_CANARY: Final = "sk-" + "ant-api03-0123456789canary0123456789"
_FIELD: Final = "canary-value-of-a-password"
_ATTRIBUTES: Final = {"canary.password": _FIELD, "canary.text": f"a {_CANARY} b", "canary.list": (_CANARY,)}

_unsafe: set[str] = set()


def self_check(provider: Any, *, values: bool = True) -> bool:
    """Return whether everything that leaves ``provider`` is redacted. A provider of the SDK; never raises.

    Without ``values`` only the guard's place is looked at, and no canary sent, which would load the rules.
    """
    safe = False
    with _CHECK:
        safe = _is_safe(provider, values=values)
    name = type(provider).__name__
    if safe:
        _unsafe.discard(name)
    else:
        _unsafe.add(name)
        contain.warn_once(
            f"redaction.self_check.{name}",
            "otel-agent: the redaction guard of %s is not in place: content capture is off. See `otel-agent doctor`.",
            name,
        )
    return safe


def content_allowed() -> bool:
    """Return whether content may be captured: False from a failed self-check on, until one succeeds."""
    return not _unsafe


def unsafe_providers() -> tuple[str, ...]:
    """Return the class names of the providers whose last self-check failed, for doctor."""
    return tuple(sorted(_unsafe))


def reset() -> None:
    """Forget all results: for tests and for `uninstrument()`."""
    _unsafe.clear()


def _is_safe(provider: Any, *, values: bool) -> bool:
    if hasattr(provider, install.SPANS):
        guard = getattr(provider, install.SPANS)
        captured = [tracer.span_processor for tracer in install.tracers(provider)]
        placed = isinstance(guard, SpanGuard) and all(it is guard for it in captured)
        return placed and (not values or _span_is_redacted(guard.apart()))
    if hasattr(provider, install.LOGS):
        guard = getattr(provider, install.LOGS)
        captured = [getattr(logger, install.LOGS, None) for logger in install.loggers(provider)]
        placed = isinstance(guard, LogGuard) and all(it is guard for it in captured)
        return placed and (not values or _record_is_redacted(guard.apart()))
    if hasattr(provider, install.METRICS):
        return _metrics_are_redacted(getattr(provider, install.METRICS), values=values)
    return False


def _leaks(*parts: Any) -> bool:
    text = repr(parts)
    return _CANARY in text or _FIELD in text


def _span_is_redacted(guard: SpanGuard) -> bool:
    context = SpanContext(1, 1, is_remote=False)
    span = guard.redact(
        ReadableSpan(
            name=f"canary {_CANARY}",
            context=context,
            resource=Resource(_ATTRIBUTES),
            attributes=dict(_ATTRIBUTES),
            events=(Event(_CANARY, dict(_ATTRIBUTES), 1),),
            links=(Link(context, dict(_ATTRIBUTES)),),
            status=Status(StatusCode.ERROR, _CANARY),
            start_time=1,
            end_time=2,
        )
    )
    events = [(event.name, dict(event.attributes or {})) for event in span.events]
    links = [dict(link.attributes or {}) for link in span.links]
    return not _leaks(
        span.name, dict(span.attributes or {}), events, links, span.status.description, dict(span.resource.attributes)
    )


def _record_is_redacted(guard: LogGuard) -> bool:
    record = ReadWriteLogRecord(
        log_record=LogRecord(
            timestamp=1,
            severity_number=SeverityNumber.INFO,
            body={"text": _CANARY, "password": _FIELD},
            attributes=dict(_ATTRIBUTES),
            event_name=_CANARY,
        ),
        resource=Resource(_ATTRIBUTES),
    )
    clean = guard.redact(record)
    inner = clean.log_record
    resource = clean.resource or Resource.get_empty()
    return not _leaks(inner.body, inner.event_name, dict(inner.attributes or {}), dict(resource.attributes))


def _metrics_are_redacted(consumer: Any, *, values: bool) -> bool:
    from .metrics import MetricsGuard, redact_resource

    guard = consumer.collect
    if not isinstance(guard, MetricsGuard):
        return False
    if any(reader._collect is not guard for reader in consumer._reader_storages):
        return False
    return not values or not _leaks(dict(redact_resource(Resource(_ATTRIBUTES), guard.policy.apart()).attributes))
