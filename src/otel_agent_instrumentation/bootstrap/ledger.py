# SPDX-License-Identifier: Apache-2.0
"""The ledger of this process: made with the first event, flushed before the queues, closed at the very end."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from ..redaction.policy import default_policy
from . import summary
from .choices import choose
from .providers import resource_of
from .state import state

if TYPE_CHECKING:
    from opentelemetry._logs import Logger

    from ..config import Settings
    from ..ledger.buffer import Entry
    from ..ledger.keeping import Rules
    from ..ledger.writer import Writer
    from ..signals.run import RunTracker

_EMIT = "otel_agent_instrumentation.signals.emit"


def writer() -> Writer:
    """The writer, made now if nobody has: a process that records nothing opens nothing, and start-up does not pay."""
    with state.opening:
        if state.writer is None:
            from ..ledger import sink as _sink  # noqa: F401 # pyright: ignore[reportUnusedImport] - see forks.py
            from ..ledger.buffer import Limits
            from ..ledger.writer import Writer, resource_attributes
            from ..redaction.parts import redact_resource

            settings = state.settings
            ours = state.providers.resource if state.providers is not None else None
            resource = state.resource or ours or resource_of(settings)

            def told() -> dict[str, Any]:
                # On the writer's thread: redaction's rules are loaded for it.
                return resource_attributes(redact_resource(resource, default_policy().at("ledger")))

            limits = Limits(
                settings.queue_bytes,
                settings.ledger_buffer_events,
                settings.ledger_flush_interval,
                block=settings.ledger_durability == "block",
                sync=settings.ledger_durability == "fsync",
            )
            made = Writer(
                settings.ledger_dir,
                settings.ledger_path,
                told,
                settings.agent(),
                limits,
                _rules(settings),
                chain=settings.ledger_chain,
            )
            if settings.lines_leave():
                from . import routes

                state.lanes = routes.open_lanes(settings, state.coordinator, made)
            state.writer = made
        return state.writer


def warnings(settings: Settings) -> tuple[str, ...]:
    """What is wrong with the settings besides, one sentence each."""
    if not settings.routes:
        return ()
    from . import routes

    return routes.warnings(settings)


def _rules(settings: Settings) -> Rules:
    from ..ledger.keeping import Rules

    return Rules(
        settings.ledger_rotate_bytes,
        settings.ledger_rotate_seconds,
        settings.ledger_compress,
        settings.ledger_keep_files,
        settings.ledger_keep_days,
        settings.ledger_keep_bytes,
    )


def open_outlet(settings: Settings, logger: Logger | None = None, tracker: RunTracker | None = None) -> None:
    """Have emitted events go to the ledger and to ``logger``, in the run that ``tracker`` knows, which counts them."""
    from ..signals import emit, emitted

    policy = default_policy().at("ledger")
    outlet = emitted.Outlet(policy, choose(settings, "logs").ledger, logger)
    if tracker is not None:
        outlet = outlet._replace(run_of=tracker.of_trace, counts=tracker.measured.event)
    emitted.use(outlet)

    def first(entry: Entry) -> bool:
        # The writer is made with the first event.
        to = writer()
        emit.use(to.put_and_wait if settings.waits() else to.put)
        return emit.post()(entry)

    emit.use(first)


def flush(timeout: float) -> bool:
    """Have what was told so far written, within ``timeout`` seconds; whether it is."""
    return state.writer is None or state.writer.flush(timeout)


def last(left: float) -> None:
    """The very end: what is said about it is written, and sent where lines leave on other ways, too."""
    if not state.lanes:
        summary.tell(state.writer, state.settings, left)
        return
    from . import routes

    flush(left / 4)
    summary.tell(state.writer, state.settings, left / 4, partial(routes.flush, state.lanes))
    routes.shutdown(state.lanes, left / 4)


def let_go(timeout: float) -> None:
    """Write what waits and close, within about ``timeout`` seconds."""
    emit = sys.modules.get(_EMIT)
    if emit is not None:
        emit.use(None)
    if state.writer is not None:
        state.writer.close(timeout)
        state.writer = None
    if state.lanes:
        from . import routes

        routes.shutdown(state.lanes, timeout)
        state.lanes = []
