# SPDX-License-Identifier: Apache-2.0
"""What the bootstrap does with this layer, without the bootstrap. Configured by WIRE_* variables."""

from __future__ import annotations

import json
import os
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, get_logger_provider, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider

from otel_agent_instrumentation.pipeline.accounts import snapshots
from otel_agent_instrumentation.pipeline.exit import ExitCoordinator
from otel_agent_instrumentation.pipeline.otlp import OtlpOptions, make_otlp_exporters
from otel_agent_instrumentation.pipeline.processors import AgentLogProcessor, AgentSpanProcessor
from otel_agent_instrumentation.pipeline.queue import Limits

coordinator = ExitCoordinator()


def wire() -> None:
    limits = Limits(delay=float(os.environ.get("WIRE_DELAY", "30")))
    exporters = make_otlp_exporters(os.environ.get("WIRE_PROTOCOL", "http/protobuf"), options=OtlpOptions())
    tracers = TracerProvider(shutdown_on_exit=False)
    spans = AgentSpanProcessor(exporters.spans, limits)
    tracers.add_span_processor(spans)
    trace.set_tracer_provider(tracers)
    loggers = LoggerProvider(shutdown_on_exit=False)
    logs = AgentLogProcessor(exporters.logs, limits)
    loggers.add_log_record_processor(logs)
    set_logger_provider(loggers)
    coordinator.register(spans.lane)
    coordinator.register(logs.lane)
    if os.environ.get("WIRE_METRICS", "1") == "1":
        assert exporters.metrics is not None
        reader = PeriodicExportingMetricReader(exporters.metrics, export_interval_millis=60_000)
        meters = MeterProvider([reader], shutdown_on_exit=False)
        metrics.set_meter_provider(meters)
        coordinator.register(exporters.metrics)
        coordinator.register_call("metrics", lambda left: meters.shutdown(timeout_millis=left * 1000))
    coordinator.register_call("report", report, stage="last")
    coordinator.arm(sigterm=os.environ.get("WIRE_SIGTERM", "1") == "1")


def report(_: float) -> None:
    """Append the books of this process to the file that the test reads."""
    path = os.environ.get("WIRE_REPORT")
    if path:
        line = json.dumps({"pid": os.getpid(), "books": [item._asdict() for item in snapshots()]}) + "\n"
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)


def emit(name: str, count: int = 1) -> None:
    """Emit ``count`` spans, as many log records, and count a metric."""
    tracer = trace.get_tracer("wiring")
    logger = get_logger_provider().get_logger("wiring")
    for number in range(count):
        with tracer.start_as_current_span(f"{name}-{number}") as span:
            span.set_attribute("pid", os.getpid())
        logger.emit(LogRecord(body=f"{name}-{number}", event_name="emitted"))
    metrics.get_meter("wiring").create_counter("emitted").add(count, {"pid": os.getpid()})


def tell(**facts: Any) -> None:
    """Write one line for the test, unbuffered: the process may be about to die."""
    os.write(1, (json.dumps(facts) + "\n").encode())
