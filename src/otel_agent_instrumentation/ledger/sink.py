# SPDX-License-Identifier: Apache-2.0
"""Records to lines: every span and event of ours, redacted, whether its span was sampled or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .. import semconv
from ..core.records import EventRecord, SpanRecord
from .lines import Event, weight

if TYPE_CHECKING:
    from ..redaction.policy import Policy
    from .writer import Writer


_BESIDE = 512  # bytes, about: a record without what it tells
_SCOPE = {"name": semconv.SCOPE, "version": semconv.VERSION, "schema_url": semconv.SCHEMA_URL}


def take(writer: Writer, policy: Policy, record: SpanRecord | EventRecord, *, file: bool = True) -> None:
    """Tell the writer one record; without ``file`` for its sinks alone."""
    told = record.attributes if isinstance(record, SpanRecord) else record.payload
    writer.put(_Record(_BESIDE + weight(told), record, policy, file))


class _Record(msgspec.Struct, gc=False):
    """A record on its way."""

    weight: int
    record: SpanRecord | EventRecord
    policy: Policy
    file: bool

    def event(self) -> Event:
        return _event(self.record, self.policy, file=self.file)


def _event(record: SpanRecord | EventRecord, policy: Policy, *, file: bool) -> Event:
    """The event of a record, redacted: on the writer's thread."""
    tags: dict[str, Any] = {}
    if isinstance(record, SpanRecord):
        payload, time_ns, name = _span(record), record.end_ns, semconv.EVENT_SPAN_ENDED
    else:
        payload, time_ns, name, tags = dict(record.payload), record.time_ns, record.name, dict(record.tags or {})
    payload = redacted(policy, payload)
    ids = (record.trace_id, record.span_id)
    return Event(name, time_ns, payload, record.run, record.cycle, *ids, tags, file)


def _span(record: SpanRecord) -> dict[str, Any]:
    return span_payload(
        name=record.name,
        kind=record.kind,
        ids=(record.trace_id, record.span_id, record.parent_id),
        times=(record.start_ns, record.end_ns),
        status={"code": record.status, "description": record.status_description},
        attributes=dict(record.attributes),
        events=[{"name": n, "time_unix_nano": t, "attributes": a} for n, t, a in record.events],
        links=[],
        scope=_SCOPE,
        trace_state=record.trace_state,
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
