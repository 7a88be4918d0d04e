# SPDX-License-Identifier: Apache-2.0
"""The ways to be measured: bare, the hand-written floor of contracts 10, the official package, and this one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.bootstrap import install, ledger
from otel_agent_instrumentation.bootstrap.stamp import LogStamp, StampingGuard
from otel_agent_instrumentation.core import records
from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.metrics.views import views
from otel_agent_instrumentation.pipeline.processors import AgentSpanProcessor
from otel_agent_instrumentation.pipeline.queue import Limits
from otel_agent_instrumentation.redaction.guard import LogGuard
from otel_agent_instrumentation.redaction.install import install as guard

from . import fixtures

if TYPE_CHECKING:
    from collections.abc import Callable

    import openai


class Variant:
    """Something to be measured, switched on for the length of a block: `on`, `call` many times, `off`."""

    call: Callable[[openai.OpenAI], None] = staticmethod(fixtures.call)

    def on(self) -> None:
        """Switch it on."""

    def flush(self) -> None:
        """Do what was held back: part of its cost."""

    def off(self) -> None:
        """Switch it off."""

    def close(self) -> None:
        """Take it away."""


class Floor(Variant):
    """A hand-written wrapper: one span of 15 attributes, current during the call, and 3 histogram records."""

    def __init__(self) -> None:
        self._providers = tracers, meters, _ = fixtures.stock_providers()
        tracer, meter = tracers.get_tracer("floor"), meters.get_meter("floor")
        duration = meter.create_histogram("duration", explicit_bucket_boundaries_advisory=list(semconv.SECONDS))
        tokens = meter.create_histogram("tokens", explicit_bucket_boundaries_advisory=list(semconv.TOKENS))

        def wrapped(client: openai.OpenAI) -> None:
            start = time.perf_counter()
            common = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": fixtures.MODEL,
                "server.address": "api.openai.com",
                "server.port": 443,
            }
            with tracer.start_as_current_span(
                "chat gpt-4o",
                kind=SpanKind.CLIENT,
                attributes={
                    **common,
                    "gen_ai.request.temperature": 0.1,
                    "gen_ai.request.max_tokens": 100,
                    "gen_ai.request.top_p": 1.0,
                },
            ) as span:
                answer = client.chat.completions.create(
                    model=fixtures.MODEL,
                    messages=[{"role": "user", "content": fixtures.PROMPT}],
                    temperature=0.1,
                    max_tokens=100,
                    top_p=1.0,
                )
                usage: Any = answer.usage
                span.set_attributes(
                    {
                        "gen_ai.response.id": answer.id,
                        "gen_ai.response.model": answer.model,
                        "gen_ai.response.finish_reasons": [choice.finish_reason for choice in answer.choices],
                        "gen_ai.usage.input_tokens": usage.prompt_tokens,
                        "gen_ai.usage.output_tokens": usage.completion_tokens,
                        "gen_ai.usage.cache_read.input_tokens": usage.prompt_tokens_details.cached_tokens,
                        "gen_ai.usage.reasoning.output_tokens": usage.completion_tokens_details.reasoning_tokens,
                    }
                )
            labels = {**common, "gen_ai.response.model": answer.model}
            duration.record(time.perf_counter() - start, labels)
            tokens.record(usage.prompt_tokens, {**labels, "gen_ai.token.type": "input"})
            tokens.record(usage.completion_tokens, {**labels, "gen_ai.token.type": "output"})

        self.call = wrapped

    def flush(self) -> None:
        """Have the batch processor export."""
        self._providers[0].force_flush()

    def close(self) -> None:
        """Shut its providers down."""
        for provider in self._providers:
            provider.shutdown()


class Official(Variant):
    """`opentelemetry-instrumentation-genai-openai`, content off."""

    def __init__(self) -> None:
        from opentelemetry.instrumentation.genai.openai import (  # pyright: ignore[reportMissingImports]
            OpenAIInstrumentor,  # pyright: ignore[reportUnknownVariableType] - only in its own environment
        )

        self._instrumentor: Any = OpenAIInstrumentor()
        self._providers = fixtures.stock_providers()

    def on(self) -> None:
        """Patch the client."""
        tracers, meters, loggers = self._providers
        self._instrumentor.instrument(
            tracer_provider=tracers, meter_provider=meters, logger_provider=loggers, skip_dep_check=True
        )

    def flush(self) -> None:
        """Have the batch processor export."""
        self._providers[0].force_flush()

    def off(self) -> None:
        """Put the client's own functions back."""
        self._instrumentor.uninstrument()

    def close(self) -> None:
        """Shut its providers down."""
        for provider in self._providers:
            provider.shutdown()


class Ours(Variant):
    """This package as the launcher builds it, guard on, no ledger; the exporter only counts.

    Installed once and for both variants of it: switched off, its wrapper costs the others a microsecond, which is part
    of the bare call that is subtracted from all.
    """

    ledger = False
    only: tuple[str, ...] = ("openai",)
    _sinks: tuple[Any, ...] | None = None
    _tracers: TracerProvider | None = None

    def __init__(self) -> None:
        if Ours._sinks is None:
            Ours._tracers = self._install()
            Ours._sinks = records._sinks  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        self.off()

    def _install(self) -> TracerProvider:
        tracers = TracerProvider(active_span_processor=StampingGuard(), shutdown_on_exit=False)
        tracers.add_span_processor(AgentSpanProcessor(fixtures.Counting(), Limits(max_items=100_000)))
        meters = MeterProvider([InMemoryMetricReader()], views=views(), shutdown_on_exit=False)
        guard(meters)
        loggers = LoggerProvider(multi_log_record_processor=LogGuard(), shutdown_on_exit=False)
        loggers.add_log_record_processor(LogStamp())
        install.instrument(tracer_provider=tracers, meter_provider=meters, logger_provider=loggers, only=self.only)
        engine.defers = True  # as with providers that the launcher builds
        return tracers

    def on(self) -> None:
        """Let the wrapper work, with or without the ledger's sink."""
        records._sinks = (Ours._sinks or ()) if self.ledger else ()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        engine.enabled = True

    def flush(self) -> None:
        """Tell what was put off, and have our processor export."""
        engine.drain()
        ledger.flush(30)
        if Ours._tracers is not None:
            Ours._tracers.force_flush()

    def off(self) -> None:
        """Let the wrapper rest."""
        engine.enabled = False

    def close(self) -> None:
        """Take it off the client."""
        Ours._sinks = None
        install.uninstrument()


class OursWithLedger(Ours):
    """The same with the ledger file."""

    ledger = True


class OursInApplication(Ours):
    """This package beside providers of the application's own: each call is told as it ends."""

    def _install(self) -> TracerProvider:
        tracers, meters, loggers = fixtures.stock_providers()
        install.instrument(tracer_provider=tracers, meter_provider=meters, logger_provider=loggers, only=self.only)
        return tracers
