# SPDX-License-Identifier: Apache-2.0
"""Events, and the lines of them: numbered, so that what was lost leaves a gap."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from .. import semconv
from ..envelope import line as envelope
from ..redaction.paths import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..core.runs import Run
    from ..envelope.line import Line


@dataclass(slots=True, eq=False, repr=False)
class Event:
    """One line before it has its sequence number and its place."""

    name: str
    time_ns: int
    payload: dict[str, Any]
    run: Run | None = None
    cycle: int = 0
    trace_id: int = 0
    span_id: int = 0
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    file: bool = True
    """Whether it goes to the file; the sinks take every line."""


class Numbered:
    """Makes the lines of this process, numbered from 1. What was lost before a line takes its number all the same."""

    def __init__(self, resource: Callable[[], dict[str, Any]]) -> None:
        self._resource = resource
        self._pid = os.getpid()
        self._seq = 0

    def skip(self, count: int) -> None:
        """Leave out the numbers of events that were lost."""
        self._seq += count

    def line(self, event: Event, run: Run) -> Line:
        """The next line."""
        self._seq += 1
        return envelope.Line(
            schema_version=envelope.SCHEMA_VERSION,
            timestamp=envelope.timestamp(event.time_ns),
            source=envelope.source(event.name, run.agent),
            run_id=run.id,
            cycle=event.cycle,
            event=event.name,
            payload=event.payload,
            tags={"agent": run.agent, **run.tags, **event.tags},
            time_unix_nano=event.time_ns,
            unix=round(event.time_ns / 1e9, 6),
            trace_id=f"{event.trace_id:032x}" if event.trace_id else None,
            span_id=f"{event.span_id:016x}" if event.span_id else None,
            seq=self._seq,
            pid=self._pid,
        )

    def origin(self, time_ns: int) -> Event:
        """The resource, which stands before all else; redacted by who made it."""
        resource = self._resource()
        fields = marked(resource, "payload.attributes")
        return Event(semconv.EVENT_RESOURCE, time_ns, {"attributes": resource, "redacted_fields": fields})


_ITEM = 8
_DEEPEST = 32


def weight(told: Mapping[str, Any]) -> int:
    """About so many bytes ``told`` takes: for the buffer's bound, which is not to cost what it saves."""
    size = 0
    for value in told.values():
        kind = cast("Any", type)(value)
        if kind is str:
            size += len(value)
        elif kind is not int and kind is not float and kind is not bool and value is not None:
            size += _nested(value, 0)
    return size + _ITEM * len(told)


def _nested(value: Any, depth: int) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if depth > _DEEPEST or not isinstance(value, (dict, list, tuple)):
        return _ITEM
    items: Any = value.values() if isinstance(value, dict) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return _ITEM + sum([_nested(item, depth + 1) for item in items])
