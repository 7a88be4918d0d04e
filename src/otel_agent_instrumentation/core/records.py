# SPDX-License-Identifier: Apache-2.0
"""What happened, as records: the facts behind spans and events, independent of sampling and of the OTel SDK.

Signals make them, sinks (the ledger; later the monitor, the budget) take them. A sink is contained by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .contain import Contained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from .runs import Run


@dataclass(slots=True, eq=False, repr=False)
class SpanRecord:
    """A call, tool, command or run that ended: all that OTLP needs to rebuild its span. Times in ns since the epoch."""

    name: str
    kind: str
    """`INTERNAL`, `CLIENT` or `SERVER`."""
    trace_id: int
    span_id: int
    parent_id: int | None
    start_ns: int
    end_ns: int
    status: str
    """`UNSET` or `ERROR` (contracts 4: OK is never set)."""
    attributes: Mapping[str, Any]
    events: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)  # pyright: ignore[reportUnknownVariableType]
    """(name, time in ns, attributes)"""
    status_description: str | None = None
    trace_state: str = ""
    run: Run | None = None
    cycle: int = 0


@dataclass(slots=True, eq=False, repr=False)
class EventRecord:
    """Something that happened at one time."""

    name: str
    time_ns: int
    payload: Mapping[str, Any]
    trace_id: int = 0
    span_id: int = 0
    run: Run | None = None
    cycle: int = 0
    tags: Mapping[str, Any] | None = None


Record = SpanRecord | EventRecord
Announced = tuple[str, "Run | None", "Callable[[], EventRecord]", "Context | None"]
"""An event that is told a moment later: its name, its run, what makes it if anybody listens, its context."""
_sinks: tuple[tuple[Callable[[Any], None], Contained], ...] = ()
_taps: tuple[tuple[Callable[[EventRecord], None], Contained], ...] = ()


def add_sink(name: str, sink: Callable[[Any], None]) -> None:
    """Give every record to ``sink`` from now on."""
    global _sinks  # noqa: PLW0603 - replaced whole, so that `emit` needs no lock
    _sinks = (*_sinks, (sink, Contained(f"{name}.sink")))


def clear_sinks() -> None:
    """Forget all sinks."""
    global _sinks  # noqa: PLW0603
    _sinks = ()


def wanted() -> bool:
    """Whether anybody takes records: making one costs a few microseconds."""
    return bool(_sinks)


def add_tap(name: str, tap: Callable[[EventRecord], None]) -> None:
    """Give every event, and no span, to ``tap`` from now on, whether there are sinks or not; once."""
    global _taps  # noqa: PLW0603 - see `add_sink`
    remove_tap(tap)
    _taps = (*_taps, (tap, Contained(f"{name}.tap")))


def remove_tap(tap: Callable[[EventRecord], None]) -> None:
    """Give it none any more."""
    global _taps  # noqa: PLW0603
    _taps = tuple(one for one in _taps if one[0] != tap)


def tapped() -> bool:
    """Whether there are taps."""
    return bool(_taps)


def events_wanted() -> bool:
    """Whether anybody takes events."""
    return bool(_sinks or _taps)


def emit(record: Record) -> None:
    """Hand a record to every sink, and an event to every tap."""
    for sink, contained in _sinks:
        with contained:
            sink(record)
    if _taps and isinstance(record, EventRecord):
        tap_in(record)


def tap_in(event: EventRecord) -> None:
    """Hand an event to the taps alone."""
    for tap, contained in _taps:
        with contained:
            tap(event)
