# SPDX-License-Identifier: Apache-2.0
"""Putting the guard into providers: those that exist, and those that any SDK makes later.

The SDK has no public way to replace a provider's composite processor, so this module, and no other, touches the
private seams: ``_active_span_processor``, ``_multi_log_record_processor``, ``_measurement_consumer.collect``. A seam
that is missing costs one warning and shows in the self-check; nothing raises.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import wrapt
from opentelemetry.sdk._logs._internal import SynchronousMultiLogRecordProcessor
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor

from ..core import contain
from .processors import LogGuard, SpanGuard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .policy import Policy

_INSTALL: Final = contain.Contained("redaction.install")
_UNINSTALL: Final = contain.Contained("redaction.uninstall")

SPANS: Final = "_active_span_processor"
LOGS: Final = "_multi_log_record_processor"
METRICS: Final = "_measurement_consumer"

_PROVIDERS: Final = (
    ("opentelemetry.sdk.trace", "TracerProvider"),
    ("opentelemetry.sdk._logs._internal", "LoggerProvider"),
    ("opentelemetry.sdk.metrics._internal", "MeterProvider"),
)
_REPLACED: Final = "_otel_agent_replaced"
_wrapped: dict[Any, tuple[Any, Any]] = {}
"""Provider class to its original ``__init__`` and ours."""


def install(provider: Any, policy: Policy | None = None) -> bool:
    """Put the guard into ``provider`` (tracer, logger or meter provider of the SDK). Return whether it is there.

    Its processors or readers move behind the guard, those added later land there, and tracers, loggers and spans
    that exist already are guarded too. Twice is once. A provider that is not the SDK's is left alone.
    """
    with _INSTALL:
        if hasattr(provider, SPANS):
            return _install_processor(provider, SPANS, SpanGuard(policy), tracers(provider))
        if hasattr(provider, LOGS):
            return _install_processor(provider, LOGS, LogGuard(policy), loggers(provider))
        if hasattr(provider, METRICS):
            return _install_metrics(provider, policy)
        if _is_sdk_provider(provider):
            contain.warn_once(
                f"redaction.seam.{type(provider).__name__}",
                "otel-agent: this OpenTelemetry SDK has changed: %s cannot be guarded, so content capture is off. "
                "See `otel-agent doctor`.",
                type(provider).__name__,
            )
    return False


def uninstall(provider: Any) -> None:
    """Take the guard out of ``provider`` again: the object that stood there before stands there after."""
    with _UNINSTALL:
        if hasattr(provider, SPANS):
            _uninstall_processor(provider, SPANS, SynchronousMultiSpanProcessor, tracers(provider))
        elif hasattr(provider, LOGS):
            _uninstall_processor(provider, LOGS, SynchronousMultiLogRecordProcessor, loggers(provider))
        elif hasattr(provider, METRICS):
            consumer = getattr(provider, METRICS)
            if "collect" in vars(consumer):
                del consumer.collect
                _point_readers_at(consumer)


def guard_new_providers(policy: Policy | None = None) -> None:
    """Install the guard in every provider that is made from now on, whoever makes it. Twice is once."""
    with _INSTALL:
        for module_name, class_name in _PROVIDERS:
            cls: Any = wrapt.resolve_path(module_name, class_name)[2]
            if cls not in _wrapped:
                _wrap_init(cls, policy)


def stop_guarding_new_providers() -> None:
    """Undo `guard_new_providers`; providers that have their guard keep it."""
    with _UNINSTALL:
        for cls, (original, ours) in list(_wrapped.items()):
            # Where someone wrapped the class after us, ours stays below theirs and does nothing.
            if cast("dict[str, Any]", vars(cls)).get("__init__") is ours:
                cls.__init__ = original
            del _wrapped[cls]


def _wrap_init(cls: Any, policy: Policy | None) -> None:
    def init(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        if cls in _wrapped:
            install(instance, policy)

    original: Any = cast("dict[str, Any]", vars(cls))["__init__"]
    ours = wrapt.FunctionWrapper(original, init)
    cls.__init__ = ours
    _wrapped[cls] = (original, ours)


def _is_sdk_provider(provider: Any) -> bool:
    names = {name for _, name in _PROVIDERS}
    return any(cls.__name__ in names and cls.__module__.startswith("opentelemetry.sdk") for cls in type(provider).mro())


def tracers(provider: Any) -> Iterable[Any]:
    """Return the tracers of ``provider``, each of which holds its processor."""
    return list(getattr(provider, "_tracers", {}).values())


def loggers(provider: Any) -> Iterable[Any]:
    """Return the loggers of ``provider``, each of which holds its processor."""
    return [*getattr(provider, "_logger_cache", {}).values(), *list(getattr(provider, "_active_loggers", ()))]


def _install_processor(provider: Any, seam: str, guard: Any, captured: Iterable[Any]) -> bool:
    old = getattr(provider, seam)
    if isinstance(old, type(guard)):
        return True
    children = "_span_processors" if seam == SPANS else "_log_record_processors"
    if type(old) in {SynchronousMultiSpanProcessor, SynchronousMultiLogRecordProcessor}:
        with old._lock:
            setattr(guard, children, getattr(old, children))
            # Spans under way hold the old composite, not the provider's: it must lead to the guard as well.
            setattr(old, children, (guard,))
    else:
        # A composite of another kind keeps its ways, as the guard's only child.
        setattr(guard, children, (old,))
    setattr(guard, _REPLACED, old)
    setattr(provider, seam, guard)
    _point_at(guard, seam, captured)
    return True


def _uninstall_processor(provider: Any, seam: str, plain: type, captured: Iterable[Any]) -> None:
    guard = getattr(provider, seam)
    if not isinstance(guard, (SpanGuard, LogGuard)):
        return
    children = "_span_processors" if seam == SPANS else "_log_record_processors"
    old = getattr(guard, _REPLACED, None)
    # The guard keeps its children: spans under way end through it.
    if old is None or type(old) is plain:
        old = plain() if old is None else old
        setattr(old, children, getattr(guard, children))
    else:
        for late in getattr(guard, children)[1:]:
            add = old.add_span_processor if seam == SPANS else old.add_log_record_processor
            add(late)
    setattr(provider, seam, old)
    _point_at(old, seam, captured)


def _point_at(processor: Any, seam: str, captured: Iterable[Any]) -> None:
    field = "span_processor" if seam == SPANS else LOGS
    for item in captured:
        if hasattr(item, field):
            setattr(item, field, processor)


def _install_metrics(provider: Any, policy: Policy | None) -> bool:
    from .metrics import MetricsGuard

    consumer = getattr(provider, METRICS)
    if not isinstance(consumer.collect, MetricsGuard):
        # On the instance: readers that are added later are handed `consumer.collect` by the provider.
        consumer.collect = MetricsGuard(consumer.collect, policy)
        _point_readers_at(consumer)
    return True


def _point_readers_at(consumer: Any) -> None:
    for reader in list(consumer._reader_storages):
        reader._set_collect_callback(consumer.collect)
