# SPDX-License-Identifier: Apache-2.0
"""Putting the parts together, and taking them apart again: one state a process."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace

from .. import __version__, config, integrations, semconv
from ..core import patching, records, runs, settings as settings_in_force, streams
from ..core.contain import Contained, warn_once
from ..core.engine import engine
from ..core.reaper import reaper
from ..ledger.exporter import use_writer
from ..ledger.sink import Sink
from ..ledger.writer import Writer, resource_attributes
from ..pipeline.accounts import snapshots
from ..pipeline.exit import ExitCoordinator
from ..redaction import install as guard, selfcheck
from ..redaction.logs import ScrubFilter
from ..redaction.policy import default_policy
from ..signals.events import Events
from ..signals.metrics import Metrics
from ..signals.run import RunTracker
from ..signals.spans import Spans
from . import summary
from .choices import choose
from .providers import Providers, build, resource_of
from .stamp import LogStamp, SpanStamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions, Observation

_log = logging.getLogger(semconv.SCOPE)
_HOOKS = Contained("install.fork")


@dataclass(slots=True)
class State:
    """What is installed in this process."""

    settings: config.Settings = field(default_factory=config.Settings)
    coordinator: ExitCoordinator | None = None
    providers: Providers | None = None
    """The providers that this package built; they outlive `uninstrument()`: OTel's globals are set once."""
    writer: Writer | None = None
    tracker: RunTracker | None = None
    guarded: list[Any] = field(default_factory=list)
    """Providers of the application that the guard was put around."""
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
    if _unset(trace.get_tracer_provider()):
        trace.set_tracer_provider(providers.tracer)
    if _unset(_logs.get_logger_provider()):
        _logs.set_logger_provider(providers.logger)
    if _unset(metrics.get_meter_provider()):
        metrics.set_meter_provider(providers.meter)


def _unset(provider: Any) -> bool:
    return type(provider).__name__.startswith(("Proxy", "_Proxy", "NoOp"))


def adopt() -> None:
    """Put the guard around global providers that somebody else built, and around those that come later."""
    settings = _settings()
    if settings.sdk_disabled:
        return
    for provider in (trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider()):
        _guard(provider)
    if settings.guard_all:
        guard.guard_new_providers()


def _guard(provider: Any) -> None:
    ours = state.providers
    if (ours is not None and provider in (ours.tracer, ours.logger, ours.meter)) or _unset(provider):
        return
    if provider not in state.guarded and guard.install(provider):
        state.guarded.append(provider)
        # Provider by provider, as each SDK class has its own way to take a processor; none is a provider that has none.
        if hasattr(provider, "add_span_processor"):
            provider.add_span_processor(SpanStamp())
        elif hasattr(provider, "add_log_record_processor"):
            provider.add_log_record_processor(LogStamp())


def self_check() -> None:
    """See that the guard stands at every way out that we know; else content stays off (architecture, L4)."""
    if state.settings.sdk_disabled:
        return
    known = [trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider(), *state.guarded]
    safe = [selfcheck.self_check(provider) for provider in known if not _unset(provider)]
    state.guard_ok = all(safe)
    if not state.guard_ok and settings_in_force.capturing():
        settings_in_force.use(replace(settings_in_force.current(), content="NO_CONTENT"))
        warn_once(
            "guard:self_check",
            "otel-agent: the redaction guard could not be put in place in this SDK: content capture is off. "
            "See `otel-agent doctor`.",
        )


def instrument(
    *, tracer_provider: Any = None, meter_provider: Any = None, logger_provider: Any = None, only: Iterable[str] | None = None
) -> None:
    """Do in code what the launcher does: patch, observe, record. Twice is once. Never raises what is not the caller's."""
    settings = _settings()
    if settings.sdk_disabled or state.active:
        return
    if tracer_provider is None and _unset(trace.get_tracer_provider()):
        configure()
    adopt()
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
    chosen = set(only) if only is not None else None
    for name in (*integrations.BUILTIN, "threads"):
        if name in settings.disabled or (chosen is not None and name not in chosen and name != "threads"):
            continue
        integration = integrations.load(name)
        if integration is not None:
            patching.apply(integration)
    self_check()


def _observe(settings: config.Settings, tracer_provider: Any, meter_provider: Any, logger_provider: Any) -> None:
    flavours = semconv.flavours(settings.semconv)
    tracer = tracer_provider.get_tracer(semconv.SCOPE, __version__, schema_url=semconv.SCHEMA_URL)
    meter = meter_provider.get_meter(semconv.SCOPE, __version__, schema_url=semconv.SCHEMA_URL)
    logger = logger_provider.get_logger(semconv.SCOPE, __version__, schema_url=semconv.SCHEMA_URL)
    redact = default_policy().attributes
    measured = Metrics(meter, flavours)
    meter.create_observable_counter(
        semconv.TELEMETRY_DROPPED, [_dropped], unit="{item}", description="Telemetry that could not be delivered."
    )
    _ledger(settings)
    state.tracker = engine.runs = RunTracker(tracer, measured.run_ended)
    # Events before spans: both share the content, and the span's end is what others see last.
    engine.observe(Spans(tracer, flavours, redact), measured, Events(logger, flavours, redact))
    engine.enabled = True
    _log.addFilter(ScrubFilter())


def _dropped(options: CallbackOptions) -> Iterable[Observation]:  # noqa: ARG001 - OTel's signature
    return [
        metrics.Observation(
            count, {semconv.SIGNAL: books.signal, semconv.EXPORTER: books.exporter, semconv.REASON: reason}
        )
        for books in snapshots()
        for reason, count in books.dropped.items()
    ]


def _ledger(settings: config.Settings) -> None:
    if not (choose(settings, "traces").ledger or choose(settings, "logs").ledger):
        return
    resource = state.providers.resource if state.providers is not None else resource_of(settings)
    writer = Writer(settings.ledger_dir, settings.ledger_path, resource_attributes(resource), settings.agent())
    state.writer = writer
    use_writer(lambda: state.writer)
    records.add_sink("ledger", Sink(writer, default_policy(), __version__).take)


def _arm(settings: config.Settings, coordinator: ExitCoordinator) -> None:
    if state.arranged is not coordinator:
        state.arranged = coordinator
        coordinator.register_call("runs", lambda left: close_open(), stage="first")  # noqa: ARG005 - its signature
        coordinator.register_call("summary", lambda left: summary.tell(state.writer, state.settings), stage="last")  # noqa: ARG005
    coordinator.arm(sigterm=settings.sigterm)
    if hasattr(os, "register_at_fork") and not _forks:
        _forks.append(True)
        os.register_at_fork(after_in_child=_in_child)


_forks: list[bool] = []


def _in_child() -> None:
    with _HOOKS:
        streams.forget_live()
        if state.writer is not None:
            state.writer.reset_in_child()


def close_open() -> None:
    """End what is open: streams that somebody still holds, implicit runs. Before a flush."""
    reaper.drain()
    streams.abandon_live()
    if state.tracker is not None:
        state.tracker.close()


def flush(timeout: float) -> bool:
    """Deliver what waits, within ``timeout`` seconds."""
    return state.coordinator.flush(timeout) if state.coordinator is not None else True


def uninstrument() -> None:
    """Take everything back: the clients are as they were. What was recorded is flushed."""
    if not state.active:
        return
    close_open()
    patching.revert()
    flush(state.settings.exit_timeout)
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
    guard.stop_guarding_new_providers()
    for provider in state.guarded:
        guard.uninstall(provider)
    state.guarded.clear()
    runs.set_current(None)
    state.active = False
