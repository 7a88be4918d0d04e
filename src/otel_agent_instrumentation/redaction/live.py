# SPDX-License-Identifier: Apache-2.0
"""Redaction of a live span in place, for the few processors that look at one before it ends.

Private fields of the SDK's span: there is no public way to take a key, a link or the resource out of a live span.
What the SDK moves elsewhere is a fault here, contained by the guard, which then keeps the span from its children
until it ends.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001
from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.resources import Resource

from ..semconv import REDACTION_FAULT
from . import parts
from .policy import ERROR

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan, Span

    from .policy import Policy

_FIELDS = ("_name", "_attributes", "_events", "_links", "_status", "_resource", "_instrumentation_scope", "_context")


def redact_start(span: Span, policy: Policy, resource_of: Callable[[Resource], Resource]) -> None:
    """Redact what ``span`` starts with: name, attributes, links, resource."""
    raw, raw_name, raw_links = parts.snapshot(span.attributes), span.name, span.links
    clean = policy.attributes(raw)
    name = policy.text(raw_name)
    links = parts.redact_links(raw_links, policy) if raw_links else raw_links
    if clean is not raw or name is not raw_name or links is not raw_links:
        for key in raw.keys() - clean.keys():
            del span._attributes[key]
        told = parts.listed(raw, clean, {"name": (raw_name, name), "links": (raw_links, links)})
        span.set_attributes({key: value for key, value in told.items() if raw.get(key) is not value})
    if name is not raw_name:
        span.update_name(name)
    if links is not raw_links:
        fresh = cast("Any", span)._new_links(())
        fresh.extend(links)
        fresh.dropped = span.dropped_links
        span._links = fresh
    resource = resource_of(span.resource)
    if resource is not span.resource:
        span._resource = resource


def replace(span: Span, clean: ReadableSpan) -> None:
    """Give the ended ``span`` the fields of ``clean``, which was redacted from it."""
    if clean is not span:
        for field in _FIELDS:
            setattr(span, field, getattr(clean, field))


def empty(span: Span) -> None:
    """Take every value out of a ``span`` that could not be redacted at its start."""
    for key in list(span.attributes or ()):
        del span._attributes[key]
    span.update_name(ERROR)
    span.set_attribute(REDACTION_FAULT, value=True)
    span._links = span._new_links(())
    span._resource = Resource.get_empty()
