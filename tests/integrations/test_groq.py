# SPDX-License-Identifier: Apache-2.0
"""groq by the integration kit; its streams tell their usage in `x_groq`."""

# ruff: noqa: RUF012 - the kit declares its class variables

from __future__ import annotations

from typing import Any

import groq
import pytest

from otel_agent_instrumentation.testing.kit import IntegrationKit, Use
from otel_agent_instrumentation.testing.openai_bodies import MODEL
from otel_agent_instrumentation.testing.provider import openai_chat, openai_chat_stream, openai_error

pytestmark = pytest.mark.matrix

CHAT: dict[str, Any] = {
    "model": "llama-3.3-70b-versatile",
    "messages": [{"role": "user", "content": "What grows in Ghent?"}],
    "temperature": 0.5,
    "max_tokens": 64,
    "seed": 7,
}
USAGE = b'"x_groq":{"id":"req_1","usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}},"choices"'
*CHUNKS, LAST, DONE = openai_chat_stream(usage=False).body


class TestGroq(IntegrationKit):
    name = "groq"
    request = CHAT
    reply = openai_chat("Begonias.")
    streamed = openai_chat_stream().but(body=(*CHUNKS, bytes(LAST).replace(b'"choices"', USAGE), DONE))
    refused = openai_error(400)
    busy = openai_error(429, retry_after=0.01)
    said = ("Ghent", "Begonias")
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": "llama-3.3-70b-versatile",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.seed": 7,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
    }
    expected_of_stream = {**expected, "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 3}
    covered = {
        "chat.completions.create": Use(CHAT),
        "chat.completions.with_raw_response.create": Use(CHAT),
        "chat.completions.with_streaming_response.create": Use({**CHAT, "stream": True}),
        "embeddings.create": Use({"model": "nomic-embed-text-v1_5", "input": "hello"}),
    }
    declined = ("audio.*", "batches.*", "files.*", "models.*")

    def client(self, url: str, retries: int = 0) -> groq.Groq:
        return groq.Groq(base_url=url, api_key="k", max_retries=retries)

    def async_client(self, url: str, retries: int = 0) -> groq.AsyncGroq:
        return groq.AsyncGroq(base_url=url, api_key="k", max_retries=retries)

    def method(self, client: Any) -> Any:
        return client.chat.completions.create
