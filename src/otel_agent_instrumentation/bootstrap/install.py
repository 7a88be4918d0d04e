# SPDX-License-Identifier: Apache-2.0
"""Putting the parts together, and taking them apart again: one state a process."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace

from .. import config, integrations, semconv
from ..core import patching, records, runs, streams
from ..core import settings as settings_in_force
from ..core.contain import Contained, warn_once
from ..core.engine import engine
from ..core.reaper import reaper
from ..integrations import _neighbours as neighbours
from ..integrations import threads as thread_runs
from ..ledger.exporter import use_writer
from ..pipeline.accounts import snapshots
from ..pipeline.exit import ExitCoordinator
from ..redaction import install as guard
from ..redaction import selfcheck
from ..redaction.logs import ScrubFilter
from ..redaction.policy import default_policy
from ..signals.events import Events
from ..signals.loops import Loops
from ..signals.metrics import Metrics
from ..signals.run import RunTracker
from ..signals.spans import Spans
from ..signals.tool_calls import tool_calls
from . import summary
from .choices import choose
from .providers import Providers, build, metrics_in_child, resource_of
from .stamp import LogStamp, SpanStamp, StampingGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.metrics import Observation

    from ..ledger.writer import Writer

_log = logging.getLogger(semconv.SCOPE)
_HOOKS = Contained("install.fork")
_SCRUB = ScrubFilter()
_LONGEST_IMPORT = 2.0  # seconds
_STEP = Contained("install.step")


@dataclass(slots=True)
class State:
    """What is installed in this process."""

    settings: config.Settings = field(default_factory=config.Settings)
    coordinator: ExitCoordinator | None = None
    providers: Providers | None = None
    """The providers that this package built; they outlive `uninstrument()`: OTel's globals are set once."""
    writer: Writer | None = None
    tracker: RunTracker | None = None
    guarded: list[Any] = field(default_factory=list[Any])
    """Providers of the application that the guard was put around."""
    opening: threading.Lock = field(default_factory=threading.Lock)
    forking: bool = False
    """Whether `opening` is held for a fork that is under way."""
    arranged: ExitCoordinator | None = None
    """The coordinator that has been told what to do at exit."""
    active: bool = False
    guard_ok: bool = True


state = State()


def _settings(**overrides: Any) -> config.Settings:
    loaded = config.load(overrides=overrides)
    settings_in_force.use(loaded)
    state.settings = loaded
    for warning in loaded.warnings:
        warn_once(f"config:{warning}", "otel-agent: %s", warning)
    return loaded


def configure() -> None:
    """Build our providers and make them OTel's global ones, where nobody has set any."""
    settings = _settings()
    if settings.sdk_disabled or state.providers is not None:
        return
    state.coordinator = ExitCoordinator(settings.exit_timeout)
    state.providers = providers = build(settings, state.coordinator)
    # Here as well as in `_arm`: our instrumentor may be switched off, and others' spans are to be delivered even so.
    state.coordinator.arm(sigterm=settings.sigterm)
    if _unset(trace.get_tracer_provider()):
        trace.set_tracer_provider(providers.tracer)
    if _unset(_logs.get_logger_provider()):
        _logs.set_logger_provider(providers.logger)
    if _unset(metrics.get_meter_provider()):
        metrics.set_meter_provider(providers.meter)


def _unset(provider: object) -> bool:
    kind = type(provider)
    return kind.__name__.startswith(("Proxy", "_Proxy", "NoOp")) and kind.__module__.startswith("opentelemetry.")


def _behind(provider: Any) -> Any:
    """The provider that does the work: Logfire's global ones are proxies, which it points elsewhere at will."""
    while type(provider).__module__.startswith("logfire.") and hasattr(provider, "provider"):
        provider = provider.provider
    return provider


def adopt() -> None:
    """Put the guard around global providers that somebody else built, and around those that come later.

    Other vendors' instrumentors of our clients wait from here on, until ours has come or has not.
    """
    settings = _settings()
    _adopt(settings)
    if not settings.sdk_disabled and not state.active:
        neighbours.watch(name for name in integrations.BUILTIN if name not in settings.disabled)


def _adopt(settings: config.Settings) -> None:
    if settings.sdk_disabled:
        return
    for provider in (trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider()):
        _guard(provider)
    if settings.guard_all:
        guard.guard_new_providers()


def _guard(provider: Any) -> None:
    ours, provider = state.providers, _behind(provider)
    if (ours is not None and provider in (ours.tracer, ours.logger, ours.meter)) or _unset(provider):
        return
    if provider not in state.guarded and guard.install(provider):
        state.guarded.append(provider)
        if hasattr(provider, "add_span_processor"):
            if not isinstance(getattr(provider, "_active_span_processor", None), StampingGuard):
                provider.add_span_processor(SpanStamp())
        elif hasattr(provider, "add_log_record_processor"):
            provider.add_log_record_processor(LogStamp())


def self_check() -> None:
    """See that the guard stands at every way out that we know; else content stays off (architecture, L4)."""
    if state.settings.sdk_disabled:
        return
    known = [trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider(), *state.guarded]
    safe = [selfcheck.self_check(_behind(provider)) for provider in known if not _unset(_behind(provider))]
    state.guard_ok = all(safe)
    if not state.guard_ok and settings_in_force.capturing():
        settings_in_force.use(replace(settings_in_force.current(), content="NO_CONTENT"))
        warn_once(
            "guard:self_check",
            "otel-agent: the redaction guard could not be put in place in this SDK: content capture is off. "
            "See `otel-agent doctor`.",
        )


def instrument(
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    only: Iterable[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Do in code what the launcher does: patch, observe, record. Twice is once. Never raises what is not the caller's.

    ``overrides``: settings by name that win over file and environment, as doctor needs for a ledger of its own.
    """
    settings = _settings(**(overrides or {}))
    if settings.sdk_disabled or state.active:
        return
    if tracer_provider is None and _unset(trace.get_tracer_provider()):
        configure()
    _adopt(settings)
    tracer_provider = tracer_provider or trace.get_tracer_provider()
    meter_provider = meter_provider or metrics.get_meter_provider()
    logger_provider = logger_provider or _logs.get_logger_provider()
    for provider in (tracer_provider, logger_provider, meter_provider):
        _guard(provider)
    if state.coordinator is None:
        state.coordinator = ExitCoordinator(settings.exit_timeout)
    state.active = True
    _observe(settings, tracer_provider, meter_provider, logger_provider)
    _arm(settings, state.coordinator)
    contributed = integrations.contributed()
    chosen = set([*integrations.BUILTIN, *contributed] if only is None else only) - set(settings.disabled)
    _know({*(only or ()), *settings.disabled}, {*integrations.BUILTIN, *contributed, "threads"})
    with _STEP:
        neighbours.take_over(name for name in integrations.BUILTIN if name in chosen)
    for name, module in integrations.BUILTIN.items():
        if name in chosen:
            patching.when_imported(module, partial(integrations.load, name))
    for name, load in contributed.items():
        if name in chosen:
            patching.when_imported(name, load)
    if "threads" not in settings.disabled:
        with _STEP:
            patching.apply(thread_runs.INTEGRATION)
    self_check()


def _know(named: set[str], known: set[str]) -> None:
    for name in sorted(named - known):
        warn_once(
            f"integration:{name}",
            "otel-agent: there is no integration called %r (OTEL_AGENT_DISABLED, or `only`); known: %s.",
            name,
            ", ".join(sorted(known)),
        )


def _observe(settings: config.Settings, tracer_provider: Any, meter_provider: Any, logger_provider: Any) -> None:
    flavours = semconv.flavours(settings.semconv)
    tracer = tracer_provider.get_tracer(semconv.SCOPE, semconv.VERSION, schema_url=semconv.SCHEMA_URL)
    meter = meter_provider.get_meter(semconv.SCOPE, semconv.VERSION, schema_url=semconv.SCHEMA_URL)
    logger = logger_provider.get_logger(semconv.SCOPE, semconv.VERSION, schema_url=semconv.SCHEMA_URL)
    redact = default_policy().attributes
    measured = Metrics(meter, flavours, _dropped)
    _ledger(settings)
    tool_calls.clear()
    state.tracker = engine.runs = RunTracker(tracer, measured.run_ended, Loops(logger))
    # Spans last: the span's end is what others wait for.
    engine.observe(measured, Events(logger, flavours, redact), Spans(tracer, flavours, redact))
    # With providers of the application a span is expected to be there when the call returns.
    own = state.providers is not None and tracer_provider is state.providers.tracer
    # Content is read from the caller's own objects, which it may change after the call.
    engine.defers = own and not settings_in_force.capturing()
    reaper.start()
    engine.enabled = True
    _log.addFilter(_SCRUB)


def _dropped() -> Iterable[Observation]:
    return [
        metrics.Observation(
            count, {semconv.SIGNAL: books.signal, semconv.EXPORTER: books.exporter, semconv.REASON: reason}
        )
        for books in snapshots()
        for reason, count in books.dropped.items()
    ]


def _ledger(settings: config.Settings) -> None:
    spans, events = choose(settings, "traces").ledger, choose(settings, "logs").ledger
    if not (spans or events):
        return

    def writer() -> Writer:
        # Made with the first event: a process that records nothing opens nothing, and start-up does not pay for it.
        with state.opening:
            if state.writer is None:
                from ..ledger import sink as _sink  # noqa: F401 # pyright: ignore[reportUnusedImport] - see _before_fork
                from ..ledger.writer import Writer, resource_attributes

                resource = state.providers.resource if state.providers is not None else resource_of(settings)
                told = resource_attributes(resource)
                state.writer = Writer(settings.ledger_dir, settings.ledger_path, told, settings.agent())
            return state.writer

    def take(record: records.Record) -> None:
        if not (spans if isinstance(record, records.SpanRecord) else events):
            return  # an explicit exporter took the ledger's place for this signal
        to = writer()
        from ..ledger.sink import take as write

        write(to, default_policy(), record)

    use_writer(writer)
    records.add_sink("ledger", take)


def _arm(settings: config.Settings, coordinator: ExitCoordinator) -> None:
    if state.arranged is not coordinator:
        state.arranged = coordinator
        coordinator.register_call("runs", lambda left: close_open(), stage="first")  # noqa: ARG005 - its signature
        coordinator.register_call("summary", lambda left: summary.tell(state.writer, state.settings), stage="last")  # noqa: ARG005
    coordinator.arm(sigterm=settings.sigterm)
    if hasattr(os, "register_at_fork") and not _forks:
        _forks.append(True)
        os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


_forks: list[bool] = []


def _before_fork() -> None:
    # The ledger's modules are imported with the first event, on a thread of ours: a child forked meanwhile would
    # have them half imported, for good. So nobody forks while that goes on.
    with _HOOKS:
        state.forking = state.opening.acquire(timeout=_LONGEST_IMPORT)


def _in_parent() -> None:
    if state.forking:
        state.forking = False
        state.opening.release()


def _in_child() -> None:
    state.forking = False
    with _HOOKS:
        streams.forget_live()
        engine.forget()
        state.opening = threading.Lock()  # held for the fork, by a thread that the child does not have
        if state.providers is not None:
            metrics_in_child(state.providers.meter)
        if state.writer is not None:
            state.writer.reset_in_child()


def close_open() -> None:
    """End what is open: streams that somebody still holds, implicit runs. Before a flush."""
    reaper.drain()
    streams.abandon_live()
    engine.drain()
    if state.tracker is not None:
        state.tracker.close()


def flush(timeout: float) -> bool:
    """Deliver what waits, within ``timeout`` seconds."""
    engine.drain()
    return state.coordinator.flush(timeout) if state.coordinator is not None else True


def uninstrument() -> None:
    """Take everything back: the clients are as they were. What was recorded is flushed."""
    if not state.active:
        return
    for step in (close_open, neighbours.let_go, patching.revert, lambda: flush(state.settings.exit_timeout)):
        with _STEP:  # each by itself: whatever fails, the clients are as they were
            step()
    engine.enabled = False
    engine.runs = None
    engine.observe()
    records.clear_sinks()
    if state.coordinator is not None:
        state.coordinator.disarm()
        if state.providers is None:
            state.coordinator = None
    if state.writer is not None:
        state.writer.close()
        state.writer = None
    guard.stop_guarding_new_providers()
    for provider in state.guarded:
        guard.uninstall(provider)
    state.guarded.clear()
    runs.set_current(None)
    state.active = False
