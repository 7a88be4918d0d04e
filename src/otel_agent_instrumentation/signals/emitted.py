# SPDX-License-Identifier: Apache-2.0
"""What was emitted, on the ledger's thread: redacted, marked by the registry, told to OTel's logs, made an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from opentelemetry._logs import SeverityNumber

# OTel's cache, which the launcher has filled.
from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from .. import semconv
from ..core import contain
from ..core.contain import Contained, warn_once
from ..core.context import ids_in
from ..envelope import categories
from ..envelope.copies import unpack
from ..ledger.lines import Event
from ..ledger.sink import redacted
from ..redaction import loading
from ..redaction.policy import default_policy
from . import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import Logger
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

    from ..core.runs import Run
    from ..redaction.policy import Policy

_COUNT = Contained("emit.count")
_LOG = Contained("emit.log")
_LONGEST = 256
_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "warn": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
    "fatal": SeverityNumber.FATAL,
}


def no_run(ids: SpanContext) -> Run | None:  # noqa: ARG001 - see Outlet.run_of
    """No run is known by its trace."""
    return None


class Outlet(NamedTuple):
    """Where emitted events go."""

    policy: Policy = default_policy().at("ledger")
    file: bool = True
    """Whether the ledger's file takes them."""
    logger: Logger | None = None
    run_of: Callable[[SpanContext], Run | None] = no_run
    """The run that a trace belongs to, for what is emitted outside of any block."""
    counts: Callable[[str, Mapping[str, Any], Run | None], None] | None = None
    """Counts an event by its name."""


_outlet = Outlet()


def use(outlet: Outlet | None) -> None:
    """Send events there from now on."""
    global _outlet  # noqa: PLW0603 - one a process
    _outlet = outlet or Outlet()


class Emitted(msgspec.Struct, gc=False):
    """What `emit_event` took. Unknown to the garbage collector, which would else look at all that waits."""

    weight: int
    name: Any
    time_ns: int
    payload: bytes
    run: Run | None
    cycle: int
    context: Context
    task_id: Any
    persona_id: Any
    session_id: Any

    def event(self) -> Event:
        """The event."""
        outlet = _outlet
        name = outlet.policy.text(str(self.name))[:_LONGEST] or categories.UNKNOWN
        payload = unpack(self.payload)
        category = _category(name)
        severity = _severity(payload, category)
        tags = _tags(category, payload, severity, (self.task_id, self.persona_id, self.session_id), outlet.policy)
        payload = redacted(outlet.policy, payload)
        run, trace_id, span_id = self.run, 0, 0
        ids = ids_in(self.context)
        if ids is not None:
            trace_id, span_id = ids.trace_id, ids.span_id
            if run is None:
                run = outlet.run_of(ids)
        made = Event(name, self.time_ns, payload, run, self.cycle, trace_id, span_id, tags, outlet.file)
        if outlet.counts is not None:
            with _COUNT:
                outlet.counts(name, payload, run)
        if outlet.logger is not None:
            with _LOG:  # by itself: processors of anyone's
                _log(outlet.logger, made, _SEVERITIES[severity], self.context)
        return made


def _severity(payload: Mapping[str, Any], category: categories.Category | None) -> str:
    said = payload.get("severity")
    if isinstance(said, str) and said.lower() in _SEVERITIES:
        return said.lower()
    return category.severity if category is not None else "info"


def _tags(
    category: categories.Category | None,
    payload: Mapping[str, Any],
    severity: str,
    given: tuple[Any, Any, Any],
    policy: Policy,
) -> dict[str, Any]:
    tags: dict[str, Any] = {"category": categories.UNKNOWN if category is None else category.group}
    if severity != "info" or "severity" in payload:
        tags["severity"] = severity
    for key, value in zip(("task_id", "persona_id", "session_id"), given, strict=True):
        if value is not None:
            tags[key] = policy.text(str(value)[:_LONGEST])
    if category is not None and (mistyped := category.mistyped(payload)):
        tags["mistyped"] = ",".join(mistyped)
    return tags


def _log(logger: Logger, made: Event, severity: SeverityNumber, context: Context) -> None:
    about = attributes.of_run(made.run, made.cycle) if made.run is not None else {}
    for key, attribute in semconv.TAG_ATTRIBUTES.items():
        if key in made.tags:
            about[attribute] = made.tags[key]
    logger.emit(
        timestamp=made.time_ns,
        context=context,
        severity_number=severity,
        event_name=made.name,
        body={key: value for key, value in made.payload.items() if key != "redacted_fields"},
        attributes=about,
    )


_contributed = False


def _category(name: str) -> categories.Category | None:
    global _contributed  # noqa: PLW0603 - once a process
    category = categories.find(name)
    if category is None and not _contributed:
        with loading.lock:  # nobody forks amid these imports
            _contributed = True
            contain.call("emit.categories", _contribute)
        category = categories.find(name)
    return category


def _contribute() -> None:
    """Register what other packages know: entry points of `otel_agent_events`."""
    for point in entry_points(group=categories.ENTRY_POINTS):
        rows: Any = contain.call("emit.categories", point.load)
        if rows is not None and contain.call("emit.categories", _register, rows) is None:
            warn_once(
                f"emit:{point.name}",
                "otel-agent: the entry point %r of %s is no iterable of event categories (Category); it is ignored.",
                point.name,
                categories.ENTRY_POINTS,
            )


def _register(rows: Any) -> bool:
    categories.register(categories.Category(*row) for row in rows)
    return True
