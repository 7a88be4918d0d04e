# SPDX-License-Identifier: Apache-2.0
"""What a run is, and which run the current thread or task belongs to."""

from __future__ import annotations

import os
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

    from .. import semconv


@dataclass(slots=True, eq=False)
class Run:
    """One run of an agent: explicit (`run()`) or implicit (an unchanged agent), see contracts 5."""

    id: str
    agent: str
    implicit: bool = False
    began_ns: int = field(default_factory=time.time_ns)
    pid: int = field(default_factory=os.getpid)
    cycle: int = 0
    """The cycle that is going on; 0 before the first model call."""
    stamp: dict[str, Any] = field(default_factory=dict[str, Any])
    """Attributes for every span, event and log below: user, session, tags, metadata. Never for metrics."""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    """The `tags` object of its ledger lines."""
    task: str | None = None
    context: Context | None = None
    """Holds the root span: calls that have no current span are parented to it."""
    ids: SpanContext | None = None
    """The root span's."""
    last_ns: int = 0
    """When its last call ended."""
    running: int = 0
    """Calls that have begun and not ended."""
    ended: bool = False
    outcome: semconv.RunOutcome = "ok"
    ending: dict[object, Callable[[], Mapping[str, Any] | None]] = field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType]
    """What is to be done when the run ends, by a key of its owner's; what it returns goes on the run's span."""
    scratch: dict[str, Any] = field(default_factory=dict[str, Any])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin_cycle(self, *, after_tool_result: bool) -> int:
        """Return the cycle of a model call that begins now: a new one after a tool result, else the one going on."""
        with self.lock:
            if after_tool_result or self.cycle == 0:
                self.cycle += 1
            return self.cycle


_current: ContextVar[Run | None] = ContextVar("otel_agent_run", default=None)


def current() -> Run | None:
    """The run of this thread or task that is still open, if any."""
    run = _current.get()
    return None if run is None or run.ended else run


def set_current(run: Run | None) -> Any:
    """Make ``run`` current for this thread or task; returns the token that `reset_current` takes."""
    if _at_active is not None and run is not None:
        active(run)
    return _current.set(run)


_at_active: Callable[[Run], bool] | None = None


def at_active(prepare: Callable[[Run], bool] | None) -> None:
    """Have ``prepare`` called with each run that becomes active, until it says that it has done its work."""
    global _at_active  # noqa: PLW0603 - one a process
    _at_active = prepare


def active(run: Run) -> None:
    """Say that ``run`` is active: what is installed for active runs only is installed now."""
    if _at_active is not None and _at_active(run):
        at_active(None)


def reset_current(token: Any) -> None:
    """Undo `set_current`. Harmless in another context than the one it was set in."""
    try:
        _current.reset(token)
    except ValueError:
        # A generator or coroutine was closed elsewhere; that context has its own value.
        return


def new_id(now_ns: int | None = None) -> str:
    """A run id that sorts by time and is unique across machines: ``20261121T081500Z-1f3a9c42``."""
    seconds = (now_ns or time.time_ns()) // 1_000_000_000
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(seconds))}-{os.urandom(4).hex()}"
