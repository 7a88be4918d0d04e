# SPDX-License-Identifier: Apache-2.0
"""What is told of calls: the engine's observers, the runs, the ledger's sink.

Imported when the first client is, or the run API (see `install.ready`): half of start-up's time would go into it, and
a process that makes no call, as most children of an agent are, pays nothing.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import config, integrations, semconv
from ..core import commands, handover, patching, records, runs, streams
from ..core import settings as settings_in_force
from ..core.contain import Contained
from ..core.engine import engine
from ..core.reaper import reaper
from ..integrations import processes, threads
from ..metrics.prices import prices_of
from ..redaction.policy import default_policy
from ..signals.cost import Costs
from ..signals.events import Events
from ..signals.loops import Loops
from ..signals.metrics import Metrics
from ..signals.run import RunTracker
from ..signals.spans import Spans
from ..signals.told import Teller
from ..signals.tool_calls import tool_calls
from .choices import choose
from .providers import environment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry._logs import Logger
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

    from ..config import Settings
    from ..core.runs import Run
    from ..ledger.writer import Writer

_STEP = Contained("observers.step")
_COMPLETION = "otel_agent_instrumentation.signals.completion"
_STANDARD = (threads.INTEGRATION, processes.INTEGRATION)


def observe(settings: Settings, tracer: Tracer, meter: Meter, logger: Logger, *, own: bool) -> RunTracker:
    """Switch the engine on, telling all to the three. ``own``: they are of providers that this package built."""
    flavours = semconv.flavours(settings.semconv)
    policy = default_policy().at("content")
    redact = policy.attributes
    measured = Metrics(meter, flavours, environment_of(tracer))
    teller = Teller(logger, policy.payload, measured)
    tool_calls.clear()
    loops = Loops(logger, measured)
    tracker = engine.runs = RunTracker(tracer, measured, teller, loops)
    engine.tell = teller.record
    # Spans last: the span's end is what others wait for.
    told = (measured, loops, Events(logger, flavours, redact), Spans(tracer, flavours, redact))
    priced = prices_of(settings)
    engine.observe(*([Costs(priced, measured)] if priced is not None else []), *told)
    # With providers of the application a span is expected to be there when the call returns.
    # Content is read from the caller's own objects, which it may change after the call.
    engine.defers = own and not settings_in_force.capturing()
    if settings.completion_hook is not None:
        with _STEP:
            from ..signals import completion

            completion.use(completion.Completions(settings.completion_hook))
    with _STEP:
        told = config.parent_run()
        if told is not None:  # else the run that came with a process's own work, if any, stays
            runs.inherit(handover.there(*told))
    reaper.start()
    engine.enabled = True
    return tracker


def follow(settings: Settings, only: Iterable[str] | None) -> None:
    """Have runs follow work into other threads and processes, and into the commands and files of active runs."""
    for integration in _STANDARD:
        if integration.name not in settings.disabled:
            with _STEP:
                patching.apply(integration)
    modes = {"commands": settings.commands, "files": settings.files}
    chosen = set(modes if only is None else only) - set(settings.disabled)
    wanted = {name: mode for name, mode in modes.items() if name in chosen and mode != "off"}
    if wanted:
        # Patched when the first such run begins, not before.
        runs.at_active(partial(_run_begins, wanted))


def _run_begins(wanted: dict[str, str], run: Run) -> bool:
    for name, mode in list(wanted.items()):
        if mode == "active" or not run.implicit:
            wanted.pop(name, None)
            integration = integrations.load(name)
            with _STEP:
                if integration is not None:
                    patching.apply(integration)
    return not wanted


def record(settings: Settings, writer: Callable[[], Writer]) -> None:
    """Have the ledger take what the settings give it."""
    spans, events = choose(settings, "traces").ledger, choose(settings, "logs").ledger
    beside = settings.lines_leave()
    if not (spans or events or beside):
        return
    policy = default_policy().at("ledger")

    def take(record: records.Record) -> None:
        # An explicit exporter takes the file's place for its signal, never the other ways'.
        file = spans if isinstance(record, records.SpanRecord) else events
        if not file and not beside:
            return
        to = writer()
        from ..ledger.sink import take as write

        write(to, policy, record, file=file)

    records.add_sink("ledger", take)


def close_open(tracker: RunTracker | None, wait: float) -> None:
    """End what is open: streams that somebody still holds, implicit runs. Before a flush.

    ``wait``: seconds for what telling needs and is being loaded.
    """
    reaper.drain()
    streams.abandon_live()
    commands.abandon_live()
    engine.drain(wait)
    if tracker is not None:
        tracker.close()


def end_session(tracker: RunTracker | None) -> None:
    """Tell that the process's session is over: after `close_open`, once."""
    if tracker is not None:
        tracker.lifecycle.close()


def forget_in_child() -> None:
    """In a forked child: what was open is the parent's."""
    streams.forget_live()
    commands.forget_live()
    engine.forget()


def drain(wait: float = 0.0) -> None:
    """Tell what ended and was held back. ``wait``: seconds for what that needs and is being loaded."""
    engine.drain(wait)


def finish_completions(left: float, *, shutdown: bool = True) -> None:
    """Have the completion hook take what waits for it, within ``left`` seconds."""
    if settings_in_force.current().completion_hook is not None:
        from ..signals import completion

        completion.finish(left, shutdown=shutdown)


def let_go() -> None:
    """Switch the engine off."""
    engine.enabled = False
    runs.at_active(None)
    engine.runs = engine.tell = None
    engine.observe()
    engine.awaits = None
    records.clear_sinks()
    completion: Any = sys.modules.get(_COMPLETION)
    if completion is not None:
        completion.use(None)
