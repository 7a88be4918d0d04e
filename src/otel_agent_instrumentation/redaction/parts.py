# SPDX-License-Identifier: Apache-2.0
"""Redacted twins of what spans, log records and metrics share: attributes, resource, scope, events, links.

Each function gives back the object that went in where nothing in it is secret. A new object is made through the
SDK's public constructors only: a private field that a later SDK renames must not let the raw value through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, TraceState

from ..semconv import REDACTED_FIELDS
from . import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .policy import Policy

_T = TypeVar("_T")

_MAX_CACHED = 256


class IdentityCache(Generic[_T]):
    """Remembers the redacted twin of objects that live long: resources and scopes. Holds what it remembers."""

    __slots__ = ("_entries", "_make")

    def __init__(self, make: Callable[[_T], _T]) -> None:
        self._make = make
        self._entries: dict[int, tuple[_T, _T]] = {}

    def __call__(self, item: _T) -> _T:
        """Return the twin of ``item``."""
        entry = self._entries.get(id(item))
        if entry is not None and entry[0] is item:
            return entry[1]
        made = self._make(item)
        if len(self._entries) >= _MAX_CACHED:
            self._entries.clear()
        self._entries[id(item)] = (item, made)
        return made


def snapshot(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a plain copy of ``attributes``: walking the SDK's own mapping costs ten times as much."""
    if not attributes:
        return {}
    try:
        return attributes.copy()  # pyright: ignore - BoundedAttributes has it, and a proxy of it
    except AttributeError:
        return dict(attributes)


def rebound(old: Mapping[str, Any] | None, new: Mapping[str, Any], *, dropped: int = 0) -> Mapping[str, Any]:
    """Return ``new`` as an attribute mapping with the limits, the mutability and the dropped count of ``old``."""
    # Only SDKs below 1.45 tell apart attributes that may nest, and refuse the others.
    extended = {"extended_attributes": True} if hasattr(old, "_extended_attributes") else {}
    made = BoundedAttributes(attributes=new, immutable=getattr(old, "_immutable", True), **extended)
    made.dropped = getattr(old, "dropped", dropped)
    made.maxlen = getattr(old, "maxlen", None)
    made.max_value_len = getattr(old, "max_value_len", None)
    return made


def bounded(items: Sequence[Any], dropped: int) -> Any:
    """Return ``items`` as the SDK's list, which carries the count of dropped ones."""
    untyped: Any = BoundedList
    made = untyped.from_seq(None, items)
    made.dropped = dropped
    return made


def redact_resource(resource: Resource, policy: Policy) -> Resource:
    """Return ``resource`` redacted; the same object if clean."""
    policy = policy.at("resource")
    attributes = snapshot(resource.attributes)
    clean = policy.attributes(attributes)
    schema_url = policy.text(resource.schema_url)
    if clean is attributes and schema_url is resource.schema_url:
        return resource
    return Resource(dict(clean), schema_url)


def redact_scope(scope: InstrumentationScope | None, policy: Policy) -> InstrumentationScope | None:
    """Return ``scope`` redacted; the same object if clean."""
    if scope is None:
        return None
    attributes = snapshot(scope.attributes)
    clean = policy.attributes(attributes)
    name, version, schema_url = (optional_text(text, policy) for text in (scope.name, scope.version, scope.schema_url))
    if clean is attributes and name is scope.name and version is scope.version and schema_url is scope.schema_url:
        return scope
    return InstrumentationScope(name or "", version, schema_url, dict(clean))


def redact_events(events: Sequence[Event], policy: Policy) -> Sequence[Event]:
    """Return ``events`` redacted, exceptions' messages and stack traces too; the same object if clean."""
    clean = [_event(event, policy) for event in events]
    return events if all(new is old for new, old in zip(clean, events, strict=True)) else clean


def redact_links(links: Sequence[Link], policy: Policy) -> Sequence[Link]:
    """Return ``links`` redacted; the same object if clean."""
    clean = [_link(link, policy) for link in links]
    return links if all(new is old for new, old in zip(clean, links, strict=True)) else clean


def redact_context(context: SpanContext, policy: Policy) -> SpanContext:
    """Return ``context`` without the members of its trace state that hold secrets; ids are never touched.

    They are left out, not replaced: who put one there would read the replacement as its own.
    """
    state = context.trace_state
    if not state:
        return context
    clean = [
        (key, value) for key, value in state.items() if policy.value(key, value) is value and policy.text(key) is key
    ]
    if len(clean) == len(state):
        return context
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, TraceState(clean))


def bare_context(context: SpanContext | None) -> SpanContext | None:
    """Return the ids of ``context`` without its trace state."""
    if context is None or not context.trace_state:
        return context
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def listed(raw: Mapping[str, Any], clean: Mapping[str, Any], pairs: dict[str, tuple[Any, Any]]) -> Mapping[str, Any]:
    """Return the attributes ``clean`` with the paths of what was replaced in them and in ``pairs`` of other parts."""
    found = paths.differences(raw, clean, "attributes")
    for name, (old, new) in pairs.items():
        if name in {"events", "links"}:
            both: Any = zip(old, new, strict=True)
            found += [f"{name}[{index}]" for index, (was, item) in enumerate(both) if item is not was]
        else:
            found += paths.differences(old, new, name)
    return {**clean, REDACTED_FIELDS: paths.listing(clean.get(REDACTED_FIELDS), found)} if found else clean


def optional_text(text: str | None, policy: Policy) -> str | None:
    """Return ``text`` redacted, or None."""
    return policy.text(text) if text else text


def _event(event: Event, policy: Policy) -> Event:
    name = policy.text(event.name)
    attributes = snapshot(event.attributes)
    clean = policy.attributes(attributes)
    if name is event.name and clean is attributes:
        return event
    dropped = event.dropped_attributes
    return Event(name, attributes=rebound(None, clean, dropped=dropped), timestamp=event.timestamp)


def _link(link: Link, policy: Policy) -> Link:
    context = redact_context(link.context, policy)
    attributes = snapshot(link.attributes)
    clean = policy.attributes(attributes)
    if context is link.context and clean is attributes:
        return link
    return Link(context, rebound(None, clean, dropped=link.dropped_attributes))
