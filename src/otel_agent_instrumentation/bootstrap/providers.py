# SPDX-License-Identifier: Apache-2.0
"""The SDK's providers as this package builds them: guarded, with queues of our own, ended by the exit coordinator."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from .. import semconv
from ..core.contain import Contained, warn_once
from ..metrics.views import views
from ..redaction.guard import LogGuard
from ..redaction.install import install as guard
from . import exporters
from .choices import choose
from .stamp import LogStamp, StampingGuard

if TYPE_CHECKING:
    from ..config import Settings
    from ..pipeline.exit import ExitCoordinator

_READER = Contained("providers.metric_reader")


@dataclass(slots=True, eq=False, repr=False)
class Providers:
    """What was built, and what ends it."""

    tracer: Any
    meter: Any
    logger: Any
    resource: Resource
    processors: list[Any] = field(default_factory=list[Any])


def resource_of(settings: Settings) -> Resource:
    """OTel's resource, named after the agent where nobody named the service.

    As it is: what leaves with it is redacted by the guard and the ledger, and start-up does not load the rules for it.
    """
    resource = Resource.create(
        {"telemetry.distro.name": "otel-agent-instrumentation", "telemetry.distro.version": semconv.VERSION}
    )
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: settings.agent()}))
    return resource


def environment_of(tracer: Any) -> str | None:
    """The `deployment.environment.name` of an SDK tracer's resource, by its present or its old name."""
    attributes: Any = getattr(getattr(tracer, "resource", None), "attributes", {})
    found = attributes.get(semconv.ENVIRONMENT) or attributes.get("deployment.environment")
    return str(found) if found else None


def build(settings: Settings, coordinator: ExitCoordinator) -> Providers:
    """Build the three providers for ``settings`` and register their ends with ``coordinator``."""
    resource = resource_of(settings)
    spans, logs = choose(settings, "traces"), choose(settings, "logs")
    generator = _id_generator(settings.id_generator)
    tracer = TracerProvider(
        resource=resource,
        active_span_processor=StampingGuard(),
        shutdown_on_exit=False,
        **({"id_generator": generator} if generator is not None else {}),
    )
    logger = LoggerProvider(resource=resource, multi_log_record_processor=LogGuard(), shutdown_on_exit=False)
    meter = MeterProvider(_readers(settings, coordinator), resource, views=views(), shutdown_on_exit=False)
    guard(meter)
    processors: list[Any] = []
    logger.add_log_record_processor(LogStamp())
    for processor in exporters.span_processors(settings, spans):
        tracer.add_span_processor(processor)
        processors.append(processor)
    for processor in exporters.log_processors(settings, logs):
        logger.add_log_record_processor(processor)
        processors.append(processor)
    for processor in processors:
        coordinator.register(processor.lane)
    coordinator.register_call(
        "metrics",
        lambda left: meter.shutdown(timeout_millis=left * 1000),
        flush=lambda left: meter.force_flush(timeout_millis=left * 1000),
    )
    return Providers(tracer, meter, logger, resource, processors)


def _readers(settings: Settings, coordinator: ExitCoordinator) -> list[MetricReader]:
    readers: list[MetricReader] = []
    for exporter in exporters.load(settings, "metrics", choose(settings, "metrics")):
        with _READER:
            if isinstance(exporter, MetricReader):
                readers.append(exporter)
                continue
            if hasattr(exporter, "begin_exit"):  # OTLP's: asked by its ways, as the class is imported for OTLP alone
                coordinator.register(exporter)
            readers.append(PeriodicExportingMetricReader(exporter, export_interval_millis=settings.metric_interval_ms))
    return readers


def metrics_in_child(meter: Any) -> None:
    """In a forked child: begin every sum anew, or the parent's would be told twice.

    The SDK's consumer makes a fresh storage for a reader that it is given again; private, and contained by the caller.
    """
    consumer = meter._measurement_consumer  # noqa: SLF001
    consumer._lock = threading.Lock()  # noqa: SLF001 - another thread of the parent may have held it
    for reader in list(consumer._reader_storages):  # noqa: SLF001
        consumer.add_metric_reader(reader)


def _id_generator(name: str | None) -> Any:
    if name is None or name == "random":
        return None
    with Contained("providers.id_generator"):
        for point in entry_points(group="opentelemetry_id_generator", name=name):
            return point.load()()
    warn_once(
        f"id_generator:{name}",
        "otel-agent: OTEL_PYTHON_ID_GENERATOR names %r, which cannot be had: ids are random.",
        name,
    )
    return None
