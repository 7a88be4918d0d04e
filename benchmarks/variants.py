# SPDX-License-Identifier: Apache-2.0
"""The ways to be measured: bare, the hand-written floor of contracts 10, the official package, and this one."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.bootstrap import install
from otel_agent_instrumentation.bootstrap.stamp import LogStamp, StampingGuard
from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.core.records import clear_sinks
from otel_agent_instrumentation.metrics.views import views
from otel_agent_instrumentation.pipeline.processors import AgentSpanProcessor
from otel_agent_instrumentation.pipeline.queue import Limits
from otel_agent_instrumentation.redaction.guard import LogGuard
from otel_agent_instrumentation.redaction.install import install as guard

from . import fixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import openai

Variant = "Callable[[], contextlib.AbstractContextManager[Callable[[openai.OpenAI], None]]]"


@contextlib.contextmanager
def bare() -> Iterator[Callable[[openai.OpenAI], None]]:
    """The unpatched call."""
    yield fixtures.call


@contextlib.contextmanager
def floor() -> Iterator[Callable[[openai.OpenAI], None]]:
    """A hand-written wrapper: one span of 15 attributes, current during the call, and 3 histogram records."""
    tracers, meters, _ = fixtures.stock_providers()
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

    yield wrapped
    tracers.shutdown()
    meters.shutdown()


@contextlib.contextmanager
def official() -> Iterator[Callable[[openai.OpenAI], None]]:
    """`opentelemetry-instrumentation-genai-openai`, content off."""
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    tracers, meters, loggers = fixtures.stock_providers()
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(
        tracer_provider=tracers, meter_provider=meters, logger_provider=loggers, skip_dep_check=True
    )
    yield fixtures.call
    instrumentor.uninstrument()
    tracers.shutdown()
    meters.shutdown()


@contextlib.contextmanager
def ours(*, ledger: bool = False) -> Iterator[Callable[[openai.OpenAI], None]]:
    """This package as the launcher builds it, guard on; the exporter only counts."""
    tracers, meters, loggers = fixtures.stock_providers()
    tracers.shutdown()
    tracers = type(tracers)(active_span_processor=StampingGuard(), shutdown_on_exit=False)
    processor = AgentSpanProcessor(fixtures.Counting(), Limits(max_items=100_000))
    tracers.add_span_processor(processor)
    meters.shutdown()
    meters = type(meters)([fixtures.InMemoryMetricReader()], views=views(), shutdown_on_exit=False)
    guard(meters)
    loggers = type(loggers)(multi_log_record_processor=LogGuard(), shutdown_on_exit=False)
    loggers.add_log_record_processor(LogStamp())
    install.instrument(tracer_provider=tracers, meter_provider=meters, logger_provider=loggers, only=["openai"])
    engine.defers = lambda: True  # as with providers that the launcher builds
    if not ledger:
        clear_sinks()
    yield fixtures.call
    install.uninstrument()
    tracers.shutdown()
    meters.shutdown()


@contextlib.contextmanager
def ours_with_ledger() -> Iterator[Callable[[openai.OpenAI], None]]:
    """The same with the ledger file."""
    with ours(ledger=True) as run:
        yield run
