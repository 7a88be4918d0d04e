# SPDX-License-Identifier: Apache-2.0
"""openai by the integration kit, and each of its methods that asks a model."""

# ruff: noqa: RUF012 - the kit declares its class variables

from __future__ import annotations

from typing import Any

import openai
import pytest

from otel_agent_instrumentation.testing.kit import IntegrationKit, Use
from otel_agent_instrumentation.testing.openai_bodies import MODEL
from otel_agent_instrumentation.testing.provider import openai_chat, openai_chat_stream, openai_error, openai_responses

pytestmark = pytest.mark.matrix

CHAT: dict[str, Any] = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "What grows in Ghent?"}],
    "stream_options": {"include_usage": True},
    "seed": 7,
}
HOW = ("create", "parse", "stream")
ASK = {"model": "gpt-5", "messages": CHAT["messages"]}
RESPOND = {"model": "gpt-5", "input": "What grows in Ghent?"}
OTHERS = """admin audio batches containers content_provenance_checks conversations decisions evals files fine_tuning
    images live models moderations realtime safety skills uploads vector_stores videos webhooks"""
FETCH = Use({"response_id": "resp_1"}, openai_responses())


class TestOpenAI(IntegrationKit):
    name = "openai"
    request = CHAT
    reply = openai_chat("Begonias.")
    streamed = openai_chat_stream()
    refused = openai_error(400)
    busy = openai_error(429, retry_after=0.01)
    said = ("Ghent", "Begonias")
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "127.0.0.1",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.seed": 7,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "openai.response.service_tier": "default",
    }
    expected_of_stream = expected
    covered = {
        **{f"chat.completions.with_{view}_response.create": Use(ASK) for view in ("raw", "streaming")},
        **{f"{where}chat.completions.{how}": Use(ASK) for where in ("", "beta.") for how in HOW},
        **{f"responses.{how}": Use(RESPOND) for how in HOW},
        "beta.responses.create": Use(RESPOND),
        **{f"{where}responses.retrieve": FETCH for where in ("", "beta.")},
        "embeddings.create": Use({"model": "text-embedding-3-small", "input": "hello"}),
        "completions.create": Use({"model": "gpt-3.5-turbo-instruct", "prompt": "hello"}),
    }
    # Stored completions and responses are looked up and deleted without a model; the rest are other APIs.
    declined = (
        *(f"*chat.completions.{how}" for how in ("delete", "list", "retrieve", "update", "messages.list")),
        *(f"*responses.{how}" for how in ("cancel", "compact", "connect", "delete", "input_items.*", "input_tokens.*")),
        *(f"beta.{api}.*" for api in ("agents", "assistants", "chatkit", "realtime", "threads", "vector_stores")),
        *(f"{api}.*" for api in OTHERS.split()),
    )

    def client(self, url: str, retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=retries)

    def async_client(self, url: str, retries: int = 0) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=retries)

    def method(self, client: Any) -> Any:
        return client.chat.completions.create
