# SPDX-License-Identifier: Apache-2.0
"""Records to lines: every span and event of ours, redacted, whether its span was sampled or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .. import semconv
from ..core.records import EventRecord, SpanRecord
from ..envelope.copies import pack, unpack, unpacked
from .lines import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.runs import Run
    from ..redaction.policy import Policy
    from .writer import Writer


_BESIDE = 1024  # bytes, about: a record without what it tells
_SCOPE = {"name": semconv.SCOPE, "version": semconv.VERSION, "schema_url": semconv.SCHEMA_URL}


def take(writer: Writer, policy: Policy, record: SpanRecord | EventRecord, *, file: bool = True) -> None:
    """Tell the writer one record; without ``file`` for its sinks alone.

    Packed: a few hundred bytes are handed to another thread, and thus to another processor's cache, and not the many
    objects of a record. That halves what the line costs.
    """
    if isinstance(record, SpanRecord):
        packed = pack((record.attributes, record.events))
        span = (
            *(record.name, record.kind, record.parent_id, record.start_ns),
            *(record.status, record.status_description, record.trace_state),
        )
        name, time_ns, tags = semconv.EVENT_SPAN_ENDED, record.end_ns, None
    else:
        packed, span = pack(record.payload), None
        name, time_ns, tags = record.name, record.time_ns, record.tags
    place = (record.run, record.cycle, record.trace_id, record.span_id)
    writer.put(_Record(len(packed) + _BESIDE, packed, policy, file, name, time_ns, tags, span, *place))


class _Record(msgspec.Struct, gc=False):
    """A record on its way."""

    weight: int
    packed: bytes
    policy: Policy
    file: bool
    name: str
    time_ns: int
    tags: Mapping[str, Any] | None
    span: tuple[str, str, int | None, int, str, str | None, str] | None
    run: Run | None
    cycle: int
    trace_id: int
    span_id: int

    def event(self) -> Event:
        """The event, redacted."""
        payload = unpack(self.packed) if self.span is None else self._span(*self.span)
        payload = redacted(self.policy, payload)
        tags = dict(self.tags or {})
        place = (self.run, self.cycle, self.trace_id, self.span_id)
        return Event(self.name, self.time_ns, payload, *place, tags, self.file)

    def _span(  # noqa: PLR0913, PLR0917 - the parts of a span
        self, name: str, kind: str, parent: int | None, start: int, status: str, description: str | None, state: str
    ) -> dict[str, Any]:
        attributes, events = unpacked(self.packed)
        return span_payload(
            name=name,
            kind=kind,
            ids=(self.trace_id, self.span_id, parent),
            times=(start, self.time_ns),
            status={"code": status, "description": description},
            attributes=attributes,
            events=[{"name": what, "time_unix_nano": when, "attributes": about} for what, when, about in events],
            links=[],
            scope=_SCOPE,
            trace_state=state,
        )


def redacted(policy: Policy, payload: dict[str, Any]) -> dict[str, Any]:
    """``payload`` as it may be written, with `redacted_fields`: also what was replaced before it came here."""
    before = _texts(payload.pop("redacted_fields", ()))  # by who had to redact before it cut
    told, paths = policy.payload(payload, "payload")
    # An event of ours: its payload is what the attributes of its log record are.
    paths += [f"payload{path.removeprefix('attributes')}" for path in _listed(payload)]
    paths += [f"payload.{path}" for path in _listed(payload.get("attributes"))]
    return {**told, "redacted_fields": sorted({*before, *paths})}


def _texts(found: Any) -> list[str]:
    return [path for path in found if isinstance(path, str)] if isinstance(found, (list, tuple)) else []  # pyright: ignore[reportUnknownVariableType]


def _listed(attributes: Any) -> list[str]:
    return _texts(attributes.get(semconv.REDACTED_FIELDS)) if isinstance(attributes, dict) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


def span_payload(  # noqa: PLR0913 - the parts of a span
    *,
    name: str,
    kind: str,
    ids: tuple[int, int, int | None],
    times: tuple[int, int],
    status: dict[str, Any],
    attributes: dict[str, Any],
    events: list[dict[str, Any]],
    links: list[dict[str, Any]],
    scope: dict[str, Any],
    trace_state: str,
) -> dict[str, Any]:
    """The payload of `span.ended`: all that OTLP needs to rebuild the span."""
    trace_id, span_id, parent_id = ids
    return {
        "name": name,
        "kind": kind,
        "trace_id": f"{trace_id:032x}",
        "span_id": f"{span_id:016x}",
        "parent_span_id": f"{parent_id:016x}" if parent_id is not None else None,
        "trace_state": trace_state,
        "start_time_unix_nano": times[0],
        "end_time_unix_nano": times[1],
        "duration_ms": (times[1] - times[0]) / 1e6,
        "status": status,
        "attributes": attributes,
        "events": events,
        "links": links,
        "scope": scope,
    }
