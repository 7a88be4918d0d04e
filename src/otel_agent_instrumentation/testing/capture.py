# SPDX-License-Identifier: Apache-2.0
"""Instrument this process with exporters in memory, and read what came out: for tests of integrations."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from .. import semconv
from ..bootstrap import install, ledger
from ..bootstrap.stamp import LogStamp, StampingGuard
from ..envelope import line as envelope
from ..metrics.views import views
from ..redaction.guard import LogGuard

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from opentelemetry.sdk.trace import ReadableSpan

_PATIENCE = 30.0


@dataclass(slots=True)
class Captured:
    """What left the process, by signal."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    log_exporter: InMemoryLogRecordExporter
    tracer_provider: TracerProvider
    logger_provider: LoggerProvider

    def spans(self, *, roots: bool = False) -> list[ReadableSpan]:
        """Ended spans, in the order of their end. ``roots``: with those of implicit runs, which are ended first."""
        if roots:
            install.close_open()
        spans = self.exporter.get_finished_spans()
        return [span for span in spans if roots or semconv.RUN_IMPLICIT not in (span.attributes or {})]

    def span(self) -> ReadableSpan:
        """The one span that ended."""
        spans = self.spans()
        assert len(spans) == 1, [span.name for span in spans]
        return spans[0]

    def calls(self) -> list[ReadableSpan]:
        """Ended spans of model calls."""
        return [span for span in self.spans() if (span.attributes or {}).get(semconv.PROVIDER_NAME)]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def tokens(self) -> dict[str, int]:
        """Sums of the token metric (flavour 1.41) by token type."""
        sums: dict[str, int] = {}
        for point in self.points("gen_ai.client.token.usage"):
            kind = str(point.attributes[semconv.TOKEN_TYPE])
            sums[kind] = sums.get(kind, 0) + int(point.sum)
        return sums

    def logs(self, *, roots: bool = False) -> list[Any]:
        """Emitted log records. ``roots``: with those of tasks and sessions, which every run tells of itself."""
        logs = [item.log_record for item in self.log_exporter.get_finished_logs()]
        return [log for log in logs if roots or log.event_name not in _OF_RUNS]

    @staticmethod
    def lines(folder: str | Path = "logs/telemetry") -> list[envelope.Line]:
        """The ledger's lines in ``folder``, file by file."""
        install.close_open()
        ledger.flush(_PATIENCE)
        return [
            envelope.decode(data)
            for file in sorted(Path(folder).glob("*.jsonl"))
            for data in file.read_bytes().splitlines()
        ]

    def clear(self) -> None:
        """Forget the spans and logs so far."""
        self.exporter.clear()
        self.log_exporter.clear()


_OF_RUNS = frozenset({*semconv.EVENT_TASKS, semconv.EVENT_SESSION_START, semconv.EVENT_SESSION_END})


@contextmanager
def capture(*, only: Iterable[str] | None = None, sampled: bool = True) -> Generator[Captured]:
    """Instrument with providers of our own in memory; uninstrument at the end. Settings come from the environment."""
    exporter, reader, log_exporter = InMemorySpanExporter(), InMemoryMetricReader(), InMemoryLogRecordExporter()
    tracer_provider = TracerProvider(
        active_span_processor=StampingGuard(), shutdown_on_exit=False, sampler=ALWAYS_ON if sampled else ALWAYS_OFF
    )
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    logger_provider = LoggerProvider(multi_log_record_processor=LogGuard(), shutdown_on_exit=False)
    logger_provider.add_log_record_processor(LogStamp())
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(log_exporter))
    meter_provider = MeterProvider([reader], views=views(), shutdown_on_exit=False)
    install.instrument(
        tracer_provider=tracer_provider, meter_provider=meter_provider, logger_provider=logger_provider, only=only
    )
    try:
        yield Captured(exporter, reader, log_exporter, tracer_provider, logger_provider)
    finally:
        install.uninstrument()
        meter_provider.shutdown()
        tracer_provider.shutdown()
        logger_provider.shutdown()
