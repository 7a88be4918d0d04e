# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry-native instrumentation for AI agents.

`opentelemetry-instrument python agent.py` needs nothing from here. In code: `instrument()`, `uninstrument()`,
`suppress()`, `run()`, `cycle()`, `state()`, `step()`, `plan()`, `review()`, `profile()`, `benchmark()`, `@tool`,
`flush()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .semconv import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .core.suppress import suppress as suppress
    from .signals.api import run as run
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
    "benchmark",
    "cycle",
    "flush",
    "instrument",
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
_LAZY = {
    "run": "signals.api",
    "suppress": "core.suppress",
    "tool": "signals.tool",
    **dict.fromkeys(("benchmark", "cycle", "plan", "profile", "review", "state", "step"), "signals.work"),
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


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        found = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = found  # next time it is there: no import to go wrong
        return found
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
