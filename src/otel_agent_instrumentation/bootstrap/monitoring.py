# SPDX-License-Identifier: Apache-2.0
"""The performance monitor of this process: its alerts become events; it begins, and is written, as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.contain import Contained
from ..monitors.performance import PerformanceMonitor
from .state import state

if TYPE_CHECKING:
    from ..monitors.limits import Alert

_BEGIN = Contained("monitor.begin")


def _alert(alert: Alert) -> None:
    from ..signals.emit import emit_alert

    emit_alert(
        "warning",
        alert.message(),
        "performance_monitor",
        rule=alert.rule,
        subject=alert.name,
        value=alert.value,
        limit=alert.limit,
    )


performance_monitor = PerformanceMonitor(_alert)
"""The one of this process."""


_begun: list[bool] = []  # by the settings, now
_at_exit: list[bool] = []  # the exit knows


def begin() -> None:
    """Have it listen, as the settings say, and write its file at the exit where they name one."""
    performance_monitor.init()
    _begun[:] = [True]
    path = state.settings.monitor_export
    if path is not None and state.coordinator is not None and not _at_exit:
        _at_exit.append(True)
        # After the ends of what is open.
        state.coordinator.register_call("monitor", lambda left: performance_monitor.export(path), stage="last")  # noqa: ARG005 - its signature


def end() -> None:
    """Have it listen no more, if the settings had it: what an agent began is its own."""
    if _begun:
        _begun.clear()
        performance_monitor.destroy()


with _BEGIN:
    # Last: what it imports has the observers made, and they may begin what stands above.
    from . import standalone

    standalone.attend()  # alerts of a process that nobody instrumented are recorded, too
    if state.settings.monitor and not state.active:
        begin()
