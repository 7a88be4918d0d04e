# SPDX-License-Identifier: Apache-2.0
"""A place in a run as text, for another process: run, cycle and what the run was given, with the span above it.

The text goes into the environment of a child process, or beside the work that a pool's worker is sent; never to a peer
or a provider. Whoever reads it trusts nothing in it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from . import runs
from .contain import call
from .context import attach, ids_in
from .context import current as current_context
from .runs import Place, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST_BYTES = 16_384  # of the 128 KB that Linux allows one variable
_MOST_STAMPED = 64
_LONGEST = 256
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


def here() -> tuple[str, str] | None:
    """The run that is open here as text, and the W3C `traceparent` of the span above; None where no run is open."""
    place = runs.place()
    run = place.run if place is not None else None
    if place is None or run is None:
        return None
    ids = ids_in(current_context()) or ids_in(place.context or run.context or Context())
    told: dict[str, Any] = {
        "id": run.id,
        "agent": run.agent,
        "cycle": runs.cycle_in(run),
        "task": run.task,
        "tags": run.tags,
        "stamp": run.stamp,
    }
    text = _text(told)
    if len(text) > _MOST_BYTES:
        text = _text({**told, "tags": {}, "stamp": {}})
    parent = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}" if ids is not None else ""
    return text, parent


def _text(told: dict[str, Any]) -> str:
    text = msgspec.json.encode(told).decode()
    # An environment is in the locale's encoding, which may have no more than ASCII.
    return text if text.isascii() else json.dumps(told)


def there(text: str, traceparent: str) -> Place | None:
    """The place that `here` told of, in another process; None where the text is none of ours. Raises `ValueError`."""
    told: Any = json.loads(text)
    run_id, agent, cycle = told["id"], told["agent"], told["cycle"]
    if not (isinstance(run_id, str) and isinstance(agent, str) and type(cycle) is int):
        return None
    if not 0 < len(run_id) <= _LONGEST or cycle < 0:
        return None
    run = Run(run_id, agent[:_LONGEST], cycle=cycle, pinned=cycle)
    task = told.get("task")
    run.task = task if isinstance(task, str) else None
    run.stamp = {key: value for key, value in _pairs(told.get("stamp")) if _is_plain(value)}
    run.tags = {key: value for key, value in _pairs(told.get("tags")) if isinstance(value, str)}
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is not None:
        ids = SpanContext(
            int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=TraceFlags(int(match[3], 16))
        )
        run.ids = ids
        run.context = set_span_in_context(NonRecordingSpan(ids), Context())
    runs.note_elsewhere(run_id)
    return Place(run, context=run.context)


def _pairs(value: object) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return []
    pairs = list(cast("Mapping[str, Any]", value).items())[:_MOST_STAMPED]
    return [(key, tuple(cast("list[Any]", item)) if isinstance(item, list) else item) for key, item in pairs]


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, str) for item in cast("tuple[object, ...]", value))
    return isinstance(value, (str, int, float))


class Handed:
    """A function to be run in another process, in the run of who sends it. Pickled with the function and two texts."""

    __slots__ = ("_function", "_told")

    def __init__(self, function: Callable[..., Any], told: tuple[str, str]) -> None:
        self._function = function
        self._told = told

    def __reduce__(self) -> tuple[type[Handed], tuple[Any, ...]]:
        """How it is pickled."""
        return Handed, (self._function, self._told)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it there; a worker that is used again inherits nothing."""
        left, before = runs.raw(), current_context()
        place = settle(self._told)
        try:
            return self._function(*args, **kwargs)
        finally:
            if place is not None:
                runs.put(left)
                attach(before)


def settle(told: tuple[str, str] | None) -> Place | None:
    """Make what was told of the place of this thread, with no span of this process above it. Never raises."""
    place = call("handover", there, *told) if told is not None else None
    runs.put(place)
    attach(place.context if place is not None and place.context is not None else Context())
    return place
