# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry-native instrumentation for AI agents.

`opentelemetry-instrument python agent.py` needs nothing from here. In code: `instrument()`, `uninstrument()`,
`suppress()`, `run()`, `cycle()`, `state()`, `step()`, `plan()`, `review()`, `profile()`, `benchmark()`, `@tool`,
`flush()`; `emit_event()`, `emit_task_lifecycle()`, `emit_alert()`, `emit_system_event()`,
`emit_monitoring_snapshot()`, `append_ledger()`; `performance_monitor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .semconv import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .bootstrap.monitoring import performance_monitor as performance_monitor
    from .core.suppress import suppress as suppress
    from .signals.api import run as run
    from .signals.emit import append_ledger as append_ledger
    from .signals.emit import emit_alert as emit_alert
    from .signals.emit import emit_event as emit_event
    from .signals.emit import emit_monitoring_snapshot as emit_monitoring_snapshot
    from .signals.emit import emit_system_event as emit_system_event
    from .signals.emit import emit_task_lifecycle as emit_task_lifecycle
    from .signals.tool import tool as tool
    from .signals.work import benchmark as benchmark
    from .signals.work import cycle as cycle
    from .signals.work import plan as plan
    from .signals.work import profile as profile
    from .signals.work import review as review
    from .signals.work import state as state
    from .signals.work import step as step

__version__ = VERSION
__all__ = [
    "append_ledger",
    "benchmark",
    "cycle",
    "emit_alert",
    "emit_event",
    "emit_monitoring_snapshot",
    "emit_system_event",
    "emit_task_lifecycle",
    "flush",
    "instrument",
    "performance_monitor",
    "plan",
    "profile",
    "review",
    "run",
    "state",
    "step",
    "suppress",
    "tool",
    "uninstrument",
]
_EMIT = "signals.emit"
_EMITTING = (
    "append_ledger",
    "emit_alert",
    "emit_event",
    "emit_monitoring_snapshot",
    "emit_system_event",
    "emit_task_lifecycle",
)
_LAZY = {
    "performance_monitor": "bootstrap.monitoring",
    "run": "signals.api",
    "suppress": "core.suppress",
    "tool": "signals.tool",
    **dict.fromkeys(("benchmark", "cycle", "plan", "profile", "review", "state", "step"), "signals.work"),
    **dict.fromkeys(_EMITTING, _EMIT),
}


def instrument(
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    only: Iterable[str] | None = None,
) -> None:
    """Do in code what the launcher does: before or after a client's import, twice without harm.

    :param tracer_provider: an SDK provider of the application; by default the global one, else one that is built here.
    :param meter_provider: the same for metrics.
    :param logger_provider: the same for logs and events.
    :param only: names of integrations (`openai`, `anthropic`, `groq`); by default all but `OTEL_AGENT_DISABLED`.

    Does nothing where `OTEL_SDK_DISABLED=true`. Never raises: a part that cannot be installed is a warning and a line
    of `otel-agent doctor`.
    """
    from .core.contain import Contained

    with Contained("instrument"):
        from .bootstrap import install

        install.instrument(
            tracer_provider=tracer_provider, meter_provider=meter_provider, logger_provider=logger_provider, only=only
        )


def uninstrument() -> None:
    """Undo `instrument()`: the clients' own objects are back, what was recorded is flushed. Never raises."""
    from .core.contain import Contained

    with Contained("uninstrument"):
        from .bootstrap import install

        install.uninstrument()


def flush(timeout: float = 2.0) -> bool:
    """Deliver what waits for its exporter, within ``timeout`` seconds; whether all of it arrived. Never raises."""
    from .core.contain import Contained

    with Contained("flush"):
        from .bootstrap import install

        return install.flush(timeout)
    return False


def _attend() -> None:
    from .core.contain import Contained

    with Contained("emit.attend"):
        from .bootstrap import standalone

        standalone.attend()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        found = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
        if _LAZY[name] == _EMIT:
            _attend()
        globals()[name] = found  # next time it is there: no import to go wrong
        return found
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
