# SPDX-License-Identifier: Apache-2.0
"""Putting the parts together, and taking them apart again: one state a process."""

from __future__ import annotations

import logging
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace

from .. import config, integrations, semconv
from ..core import patching, runs
from ..core import settings as settings_in_force
from ..core.contain import Contained, warn_once
from ..integrations import _neighbours as neighbours
from ..ledger.exporter import use_writer
from ..metrics import where
from ..pipeline.exit import ExitCoordinator
from ..redaction import install as guard
from ..redaction import selfcheck
from ..redaction.logs import ScrubFilter
from ..redaction.policy import default_policy
from . import forks, ledger
from .choices import choose
from .losses import count_losses, dropped, keep_books
from .providers import build
from .stamp import LogStamp, SpanStamp, StampingGuard
from .state import loaded_observers, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..core.patching import Integration

_log = logging.getLogger(semconv.SCOPE)
_SCRUB = ScrubFilter()
_STEP = Contained("install.step")
_OBSERVE = Contained("install.observe")
_ENGINE = "otel_agent_instrumentation.core.engine"
_MONITORING = "otel_agent_instrumentation.bootstrap.monitoring"
# The modules by which the agent's own code says things; its clients come by `patching.when_imported`.
_PROCESSES = "multiprocessing.process"
_DOORS = tuple(f"otel_agent_instrumentation.signals.{name}" for name in ("api", "emit", "tool", "work"))


def settle(**overrides: Any) -> config.Settings:
    """Resolve the settings and put them in force; what is wrong with them is said once."""
    loaded = config.load(overrides=overrides)
    settings_in_force.use(loaded)
    default_policy().use(loaded)
    state.settings = loaded
    for warning in (*loaded.warnings, *ledger.warnings(loaded)):
        warn_once(f"config:{warning}", "otel-agent: %s", warning)
    return loaded


def configure() -> None:
    """Build our providers and make them OTel's global ones, where nobody has set any."""
    settings = settle()
    if settings.sdk_disabled or state.providers is not None:
        return
    if state.coordinator is None:
        state.coordinator = ExitCoordinator(settings.exit_timeout)
    state.providers = providers = build(settings, state.coordinator)
    # Here as well as in `arm`: our instrumentor may be switched off, and others' spans are to be delivered even so.
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
    settings = settle()
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


def self_check(*, values: bool | None = None) -> None:
    """See that the guard stands at every way out that we know; else content stays off (architecture, L4).

    ``values``: whether a canary goes through it, which loads the rules: at the start where content is captured, else
    with the first client.
    """
    if state.settings.sdk_disabled:
        return
    known = [trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider(), *state.guarded]
    deep = settings_in_force.capturing() if values is None else values
    safe = {id(one): one for one in map(_behind, known) if not _unset(one)}
    passed = [one for one in safe.values() if selfcheck.self_check(one, values=deep and one not in state.proven)]
    if deep:  # once a provider: the place of its guard is looked at again, what the guard does is known
        state.proven[:] = passed
    state.guard_ok = len(passed) == len(safe)
    if not state.guard_ok and settings_in_force.capturing():
        settings_in_force.let_content_go()
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
    settings = settle(**(overrides or {}))
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
    state.resource = getattr(_behind(tracer_provider), "resource", None)
    _prepare(settings, tracer_provider, meter_provider, logger_provider, only)
    arm(settings, state.coordinator)
    contributed = integrations.contributed()
    chosen = set([*integrations.BUILTIN, *contributed] if only is None else only) - set(settings.disabled)
    _know(
        {*(only or ()), *settings.disabled},
        {*integrations.BUILTIN, *contributed, *integrations.STANDARD},
    )
    _patch(settings, chosen, contributed, logger_provider)
    self_check()


def _patch(
    settings: config.Settings,
    chosen: set[str],
    contributed: Mapping[str, Callable[[], Integration | None]],
    logger_provider: Any,
) -> None:
    with _STEP:
        neighbours.take_over(name for name in integrations.BUILTIN if name in chosen)
    for name, module in integrations.BUILTIN.items():
        if name in chosen:
            patching.when_imported(module, partial(_builtin, name))
    for name, load in contributed.items():
        if name in chosen:
            patching.when_imported(name, partial(_contributed, load))
    for door in _DOORS:
        patching.when_imported(door, ready)
    if any("multiprocessing" in word for word in sys.orig_argv):  # a child of it: its run is told it as it begins
        patching.when_imported(_PROCESSES, ready)
    with _STEP:
        _log_records(settings, logger_provider)


def _log_records(settings: config.Settings, logger_provider: Any) -> None:
    if "logging" not in settings.disabled and settings.log_records is not False:
        from . import log_records

        log_records.take(settings, logger_provider, own=state.providers is not None)


def _know(named: set[str], known: set[str]) -> None:
    for name in sorted(named - known):
        warn_once(
            f"integration:{name}",
            "otel-agent: there is no integration called %r (OTEL_AGENT_DISABLED, or `only`); known: %s.",
            name,
            ", ".join(sorted(known)),
        )


def _prepare(
    settings: config.Settings,
    tracer_provider: Any,
    meter_provider: Any,
    logger_provider: Any,
    only: Iterable[str] | None,
) -> None:
    """What need not wait for a call; the rest is left to `ready`."""
    meter = meter_provider.get_meter(semconv.SCOPE, semconv.VERSION, schema_url=semconv.SCHEMA_URL)
    count_losses(meter, _drain, dropped)
    keep_books(meter)
    where.use(meter_provider)
    if choose(settings, "traces").ledger or choose(settings, "logs").ledger or settings.lines_leave():
        use_writer(ledger.writer)
    _log.addFilter(_SCRUB)

    def observe() -> None:
        from . import observers

        tracer = tracer_provider.get_tracer(semconv.SCOPE, semconv.VERSION, schema_url=semconv.SCHEMA_URL)
        logger = logger_provider.get_logger(semconv.SCOPE, semconv.VERSION, schema_url=semconv.SCHEMA_URL)
        own = state.providers is not None and tracer_provider is state.providers.tracer
        observers.record(settings, ledger.writer)
        observers.follow(settings, only)
        state.tracker = observers.observe(settings, tracer, meter, logger, own=own)
        ledger.open_outlet(settings, logger, state.tracker)
        if settings.monitor:
            from . import monitoring

            monitoring.begin()

    state.observe = observe
    if _ENGINE in sys.modules:
        ready()


def ready() -> None:
    """Make the observers, once: before the first client is patched and before the first `run()`.

    Whoever comes second waits for the first: no call is made meanwhile that nobody is told of.
    """
    with _OBSERVE, state.observing:
        observe, state.observe = state.observe, None
        if observe is not None:
            observe()
            self_check(values=True)


def _builtin(name: str) -> Integration | None:
    with state.observing:  # for the sake of forks, see _before_fork: its modules are shared between clients
        ready()
        return integrations.load(name)


def _contributed(load: Callable[[], Integration | None]) -> Integration | None:
    ready()
    # Holding nothing: another package's module may import a client that another thread is importing.
    return load()


def _drain(wait: float = 0.0) -> None:
    observers = loaded_observers()
    if observers is not None:
        observers.drain(wait)


def arm(settings: config.Settings, coordinator: ExitCoordinator) -> None:
    """Have the process's end and its forks go through here."""
    if state.arranged is not coordinator:
        state.arranged = coordinator
        coordinator.register_call("runs", lambda left: _end_all(left / 2), stage="first")
        # Before the queues: what the writer tells OTel's logs is to leave, too.
        coordinator.register_call("ledger", ledger.flush, stage="first")
        coordinator.register_call(
            "completions", _finish_completions, flush=partial(_finish_completions, shutdown=False)
        )
        coordinator.register_call("summary", ledger.last, stage="last")
    coordinator.arm(sigterm=settings.sigterm)
    forks.watch()


def _finish_completions(left: float, *, shutdown: bool = True) -> None:
    observers = loaded_observers()
    if observers is not None:
        observers.finish_completions(left, shutdown=shutdown)


def close_open(wait: float = 1.0) -> None:
    """End what is open: streams that somebody still holds, implicit runs. Before a flush.

    ``wait``: seconds for what telling needs and is being loaded.
    """
    observers = loaded_observers()
    if observers is not None:
        observers.close_open(state.tracker, wait)


def _end_all(wait: float = 1.0) -> None:
    close_open(wait)
    observers = loaded_observers()
    if observers is not None:
        observers.end_session(state.tracker)


def flush(timeout: float) -> bool:
    """Deliver what waits, within ``timeout`` seconds."""
    _drain(timeout)
    deadline = time.monotonic() + timeout
    written = ledger.flush(timeout)
    left = max(0.0, deadline - time.monotonic())
    return (state.coordinator is None or state.coordinator.flush(left)) and written


def uninstrument() -> None:
    """Take everything back: the clients are as they were. What was recorded is flushed."""
    if not state.active:
        return
    for step in (_end_all, neighbours.let_go, patching.revert, lambda: flush(state.settings.exit_timeout)):
        with _STEP:  # each by itself: whatever fails, the clients are as they were
            step()
    state.observe = None
    where.use(None)
    monitoring: Any = sys.modules.get(_MONITORING)
    if monitoring is not None:
        monitoring.end()
    observers = loaded_observers()
    if observers is not None:
        observers.let_go()
    if state.coordinator is not None:
        state.coordinator.disarm()
        if state.providers is None:
            state.coordinator = None
    ledger.let_go(state.settings.exit_timeout)
    guard.stop_guarding_new_providers()
    for provider in state.guarded:
        guard.uninstall(provider)
    state.guarded.clear()
    state.proven.clear()
    state.resource = None
    runs.set_current(None)
    runs.inherit(None)
    state.active = False
