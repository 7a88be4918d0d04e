# SPDX-License-Identifier: Apache-2.0
"""The ledger's API for an agent's own events: `emit_event` and its short forms (requirements, L1 and L2).

A call takes the time, the place in the run, and a copy of the payload, and returns; all else is done on the ledger's
thread. Nothing raises: what cannot be told is counted and said once, and the call returns False.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core import records, runs
from ..core.contain import Contained, warn_once
from ..core.context import current as current_context
from ..envelope.copies import pack
from .emitted import Emitted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..ledger.buffer import Entry

    Post = Callable[[Entry], bool]

_EMIT = Contained("emit")
_BESIDE = 160  # bytes, about: an event without its payload


def _nowhere(entry: Entry) -> bool:  # noqa: ARG001 - see Writer.put
    warn_once(
        "emit:nowhere",
        "otel-agent: an event was emitted where nothing records: after `uninstrument()`, or under OTEL_SDK_DISABLED.",
    )
    return False


_post: Post = _nowhere


def use(post: Post | None) -> None:
    """Give events to ``post`` from now on (see `Writer.put`), or to nobody."""
    global _post  # noqa: PLW0603 - one a process
    _post = post or _nowhere


def used() -> bool:
    """Whether events go anywhere."""
    return _post is not _nowhere


def post() -> Post:
    """Where events go."""
    return _post


def emit_event(
    event_type: str,
    payload: Mapping[str, Any] | None = None,
    *,
    task_id: str | None = None,
    persona_id: str | None = None,
    session_id: str | None = None,
) -> bool:
    """Record an event in the ledger, and as an OpenTelemetry log event with the current trace.

    :param event_type: a category (docs/events.md), or a word of your own, which is marked as unknown.
    :param payload: what it tells. Copied: what you change afterwards is not in it.
    :param task_id: a tag of the line, like ``persona_id`` and ``session_id``.

    Returns whether it was taken: False where the buffer is full or nothing records. Never raises, and never blocks
    unless the settings say so (`OTEL_AGENT_LEDGER_DURABILITY`, `AGI_EVENT_ASYNC`).
    """
    try:
        now = time_ns()
        data = pack(payload)
        place = runs.place()
        run, cycle = (place.run, place.cycle) if place is not None else (None, None)
        if cycle is None:
            cycle = 0 if run is None else run.pinned or (0 if run.counted else run.cycle)
        if records.tapped():
            records.tap_in(records.EventRecord(str(event_type), now, payload or {}, run=run, cycle=cycle))
        weight = len(data) + _BESIDE
        return _post(
            Emitted(weight, event_type, now, data, run, cycle, current_context(), task_id, persona_id, session_id)
        )
    except BaseException as error:
        if not _EMIT.swallows(error):
            raise
        return False


def emit_task_lifecycle(
    lifecycle: str,
    task_id: str,
    *,
    persona_id: str | None = None,
    session_id: str | None = None,
    **details: Any,
) -> bool:
    """Record `task_<lifecycle>` (`started`, `completed`, `failed`, ...) with ``details`` as its payload."""
    return emit_event(
        f"{semconv.TASK_EVENTS}{lifecycle}", details, task_id=task_id, persona_id=persona_id, session_id=session_id
    )


def emit_alert(  # noqa: PLR0913 - all but three are keywords
    severity: str,
    message: str,
    component: str | None = None,
    *,
    task_id: str | None = None,
    persona_id: str | None = None,
    session_id: str | None = None,
    **details: Any,
) -> bool:
    """Record `alert_triggered`. ``severity`` (debug, info, warning, error, critical) is that of the log event, too."""
    payload = {"severity": severity, "message": message, "component": component, **details}
    return emit_event(semconv.EVENT_ALERT, payload, task_id=task_id, persona_id=persona_id, session_id=session_id)


def emit_system_event(
    event_type: str,
    details: str,
    *,
    task_id: str | None = None,
    persona_id: str | None = None,
    session_id: str | None = None,
    **fields: Any,
) -> bool:
    """Record an event of the system or the infrastructure (`migration`, `system_startup`, ...) in a few words."""
    return emit_event(
        event_type, {"details": details, **fields}, task_id=task_id, persona_id=persona_id, session_id=session_id
    )


def emit_monitoring_snapshot(
    metrics: Mapping[str, Any],
    *,
    task_id: str | None = None,
    persona_id: str | None = None,
    session_id: str | None = None,
) -> bool:
    """Record measurements of one time as `performance_metric`."""
    return emit_event(semconv.EVENT_SNAPSHOT, metrics, task_id=task_id, persona_id=persona_id, session_id=session_id)


def append_ledger(record: Mapping[str, Any]) -> bool:
    """Record a plain ledger line as older code writes it: ``event`` (or ``type``) and the ids beside its fields."""
    try:
        payload = dict(record)
        name = payload.pop("event", None) or payload.pop("type", None) or semconv.EVENT_PLAIN
        ids = {key: payload.pop(key, None) for key in ("task_id", "persona_id", "session_id")}
    except BaseException as error:
        if not _EMIT.swallows(error):
            raise
        return False
    return emit_event(name, payload, **ids)
