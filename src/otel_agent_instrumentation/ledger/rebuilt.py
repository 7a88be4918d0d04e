# SPDX-License-Identifier: Apache-2.0
"""Spans out of the ledger: as they were exported, with the same ids, times, parent, attributes, scope and resource.

What the ledger does not keep is not there: whether the parent was another process's (`is_remote`), and the schema of
the resource. A span that was not sampled is in the ledger, and is rebuilt as one that was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from .. import semconv
from ..redaction.paths import listing
from .reader import lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..envelope.line import Line
    from .reader import RunFiles

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NO_RESOURCE = Resource.get_empty()
_ITEM = re.compile(r"((?:events|links)\[\d+\]).*")


def spans(run: RunFiles) -> Iterator[ReadableSpan | None]:
    """The spans of a run, file by file, each once; None for a line that is to be one and cannot. Raises `OSError`."""
    seen: set[tuple[int, int]] = set()
    for file in run.files:
        for line, resource in _with_resource(file):
            if line is None:
                yield None
            elif line.event == semconv.EVENT_SPAN_ENDED and line.run_id == run.run_id:
                made = span(line.payload, resource)
                ids = (made.context.trace_id, made.context.span_id) if made is not None and made.context else None
                if ids is None or ids not in seen:
                    yield made
                if ids is not None:
                    seen.add(ids)


def _with_resource(file: Path) -> Iterator[tuple[Line | None, Resource]]:
    """Each line with the resource of the process that wrote it: the file's last one from that process."""
    by_process: dict[int | None, Resource] = {}
    last = _NO_RESOURCE
    for line in lines(file):
        if line is not None and line.event == semconv.EVENT_RESOURCE:
            last = by_process[line.pid] = Resource(_values(line.payload.get("attributes")))
        yield line, by_process.get(line.pid, last) if line is not None else last


def span(payload: dict[str, Any], resource: Resource) -> ReadableSpan | None:
    """The span that `span.ended` tells of; None where it has no ids or no times."""
    try:
        return _span(payload, resource)
    except (TypeError, ValueError, KeyError, OverflowError):  # whoever wrote it: any value may be of any kind
        return None


def _span(told: dict[str, Any], resource: Resource) -> ReadableSpan:
    state = TraceState.from_header([told.get("trace_state") or ""])
    own = _context(told["trace_id"], told["span_id"], state)
    above, status, scope = told.get("parent_span_id"), _values(told.get("status")), _values(told.get("scope"))
    code = StatusCode[status.get("code") or "UNSET"]
    return ReadableSpan(
        str(told.get("name") or ""),
        own,
        _context(told["trace_id"], above, state) if above else None,
        resource,
        _attributes(told),
        [
            Event(str(one["name"]), _values(one.get("attributes")), _time(one["time_unix_nano"]))
            for one in _objects(told.get("events"))
        ],
        [
            Link(_context(one["trace_id"], one["span_id"], None), _values(one.get("attributes")))
            for one in _objects(told.get("links"))
        ],
        SpanKind[told.get("kind") or "INTERNAL"],
        # A description belongs to an error alone: the SDK would drop it with a warning.
        status=Status(code, status.get("description") if code is StatusCode.ERROR else None),
        start_time=_time(told["start_time_unix_nano"]),
        end_time=_time(told["end_time_unix_nano"]),
        instrumentation_scope=InstrumentationScope(
            str(scope.get("name") or ""), scope.get("version"), scope.get("schema_url")
        ),
    )


def _context(trace_id: str, span_id: str, state: TraceState | None) -> SpanContext:
    made = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED, trace_state=state)
    if not made.is_valid:
        raise ValueError(span_id)
    return made


def _time(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise ValueError(value)
    return value


def _attributes(told: dict[str, Any]) -> dict[str, Any]:
    """Its attributes, with the list of what redaction replaced, which the ledger keeps beside them."""
    attributes = _values(told.get("attributes"))
    paths = [str(path).removeprefix("payload.") for path in told.get("redacted_fields") or ()]
    if paths:
        found = [_ITEM.sub(r"\1", path) for path in paths]
        attributes[semconv.REDACTED_FIELDS] = listing(attributes.get(semconv.REDACTED_FIELDS), found)
    return attributes


def _objects(value: object) -> list[dict[str, Any]]:
    return [_values(one) for one in cast("list[object]", value)] if isinstance(value, list) else []


def _values(attributes: object) -> dict[str, Any]:
    return dict(cast("dict[str, Any]", attributes)) if isinstance(attributes, dict) else {}
