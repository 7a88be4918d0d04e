# SPDX-License-Identifier: Apache-2.0
"""What every measurement shares: a client whose transport answers at once, providers whose exporters only count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

MODEL = "gpt-4o"
PROMPT = "Lorem ipsum dolor sit amet. " * 75  # 2 KB
CHUNKS = 2500  # long, so that what the call itself costs, told beside it, is spread thin

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
    "usage": {
        "prompt_tokens": 600,
        "completion_tokens": 50,
        "total_tokens": 650,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
_JSON = json.dumps(ANSWER).encode()


def _chunk(delta: dict[str, Any], finish: str | None = None, usage: object = None) -> bytes:
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return b"data: " + json.dumps({**head, "choices": choices, "usage": usage}).encode() + b"\n\n"


_STREAM = b"".join(
    [
        *(_chunk({"content": f"word{number} "}) for number in range(CHUNKS)),
        _chunk({}, "stop"),
        _chunk({}, usage=ANSWER["usage"]),
        b"data: [DONE]\n\n",
    ]
)


class Transport(httpx2.BaseTransport):
    """Answers at once, from memory."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The stream if the body asks for one, else the whole answer."""
        if b'"stream":true' in request.content:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_STREAM)
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=_JSON)


def client() -> openai.OpenAI:
    """A real client of the real host name, over the stubbed transport."""
    return openai.OpenAI(api_key="none", http_client=openai.DefaultHttpxClient(transport=Transport()), max_retries=0)


class Counting(SpanExporter):
    """Counts spans, and does nothing else."""

    def __init__(self) -> None:
        self.count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count."""
        self.count += len(spans)
        return SpanExportResult.SUCCESS


def stock_providers() -> tuple[TracerProvider, MeterProvider, LoggerProvider]:
    """What a hand-written program builds: the SDK's batch processor, and a metric reader."""
    tracer = TracerProvider(shutdown_on_exit=False)
    tracer.add_span_processor(BatchSpanProcessor(Counting(), max_queue_size=100_000))
    return (
        tracer,
        MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False),
        LoggerProvider(shutdown_on_exit=False),
    )


def call(target: openai.OpenAI) -> None:
    """One call, whole answer."""
    target.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": PROMPT}], temperature=0.1, max_tokens=100, top_p=1.0
    )


def stream(target: openai.OpenAI) -> None:
    """One call, streamed and drained."""
    for _ in target.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": PROMPT}],
        temperature=0.1,
        max_tokens=100,
        top_p=1.0,
        stream=True,
    ):
        pass
