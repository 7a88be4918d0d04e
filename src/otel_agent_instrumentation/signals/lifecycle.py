# SPDX-License-Identifier: Apache-2.0
"""What a run and an agent's process tell of themselves in the words of the ledger's document (requirements, L2 and L5).

A run that is no part of another process's is a task: `task_started`, then `task_completed`, `task_failed` or
`task_cancelled`. The process that begins it is in a session: `session_start` with its first run, `session_end` at its
end. Calls, tools, commands, states and steps have lines of their own, and are not told again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from .. import semconv
from ..core import runs
from ..core.contain import Contained
from ..envelope.copies import pack

if TYPE_CHECKING:
    from ..core.runs import Run

_TELL = Contained("lifecycle.tell")
_ENDS = {"ok": "completed", "cancelled": "cancelled"}


class Lifecycle:
    """Tells the lifecycle of this process's runs."""

    def __init__(self) -> None:
        self._first: Run | None = None
        self._last: Run | None = None
        self._count = 0

    def began(self, run: Run) -> None:
        """A run has its root."""
        with _TELL:
            if runs.is_elsewhere(run) or runs.inherited() is not None:
                return  # a part of a task that another process tells
            self._count += 1
            self._last = run
            if self._first is None:
                self._first = run
                _tell(semconv.EVENT_SESSION_START, {"agent": run.agent}, run, run.began_ns)
            _tell(f"{semconv.TASK_EVENTS}started", {"goal": run.task}, run, run.began_ns)

    def ended(self, run: Run, end_ns: int, error: str | None) -> None:
        """A run is over."""
        with _TELL:
            if self._first is None or runs.is_elsewhere(run) or runs.inherited() is not None:
                return
            told = {
                "goal": run.task,
                "outcome": run.outcome,
                "cycles": run.cycle,
                "duration_seconds": max(0, end_ns - run.began_ns) / 1e9,
                "reason": run.stop_reason,
                "error": error,
            }
            _tell(f"{semconv.TASK_EVENTS}{_ENDS.get(run.outcome, 'failed')}", told, run, end_ns)

    def close(self) -> None:
        """The process ends, once."""
        with _TELL:
            first, last = self._first, self._last
            self._first = self._last = None
            if first is not None and last is not None and not runs.is_elsewhere(first):
                now = time.time_ns()
                told = {"agent": first.agent, "runs": self._count, "duration_seconds": (now - first.began_ns) / 1e9}
                _tell(semconv.EVENT_SESSION_END, told, last, now)


def _tell(name: str, payload: dict[str, Any], run: Run, time_ns: int) -> None:
    # Here: who imports them makes the observers, which import this module.
    from . import emit
    from .emitted import Emitted

    data = pack({key: value for key, value in payload.items() if value is not None})
    context = run.context if run.context is not None else Context()
    session = run.stamp.get(semconv.SESSION_ID)
    emit.post()(Emitted(len(data), name, time_ns, data, run, 0, context, run.id, None, session))
