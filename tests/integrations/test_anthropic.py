# SPDX-License-Identifier: Apache-2.0
"""anthropic by the integration kit, beta messages, the tool runner and threads included."""

# ruff: noqa: RUF012 - the kit declares its class variables

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from otel_agent_instrumentation.testing.anthropic_bodies import CLAUDE, ClaudeTokens
from otel_agent_instrumentation.testing.kit import IntegrationKit, Use
from otel_agent_instrumentation.testing.provider import anthropic_error, anthropic_message, anthropic_message_stream

pytestmark = pytest.mark.matrix

MESSAGES = [{"role": "user", "content": "What grows in Ghent?"}]
ASK: dict[str, Any] = {"model": "claude-next", "max_tokens": 64, "messages": MESSAGES}
CACHED = ClaudeTokens(cache_read=5, cache_creation=3)
WAYS = ("messages.create", "messages.parse", "messages.stream")


class TestAnthropic(IntegrationKit):
    name = "anthropic"
    request = {**ASK, "system": "Answer in Dutch."}
    reply = anthropic_message("Begonias.", tokens=CACHED)
    streamed = anthropic_message_stream(tokens=CACHED)
    refused = anthropic_error(400)
    busy = anthropic_error(529, retry_after=0.01)
    said = ("Ghent", "Begonias")
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "127.0.0.1",
        "gen_ai.request.model": "claude-next",
        "gen_ai.request.max_tokens": 64,
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.model": CLAUDE,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 11 + 5 + 3,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.cache_creation.input_tokens": 3,
    }
    expected_of_stream = expected
    covered = {
        **{f"messages.with_{view}_response.create": Use(ASK) for view in ("raw", "streaming")},
        **{way: Use(ASK) for way in WAYS},
        **{f"beta.{way}": Use(ASK) for way in WAYS},
        "beta.messages.tool_runner": Use({**ASK, "tools": []}),
        "beta.messages.thread": Use({**ASK}, then=lambda thread: thread.send()),
    }
    # Batches are answered hours later, tokens are counted without a model; `completions` is the API before messages.
    declined = (
        *("messages.batches.*", "messages.count_tokens", "beta.messages.batches.*", "beta.messages.count_tokens"),
        *("completions.create", "files.*", "models.*", "organization.*", "skills.*", "user_profiles.*"),
        *("beta.agents.*", "beta.deployment*", "beta.dreams.*", "beta.environments.*", "beta.files.*"),
        *("beta.memory_stores.*", "beta.models.*", "beta.organization.*", "beta.sessions.*", "beta.skills.*"),
        *("beta.tunnels.*", "beta.user_profiles.*", "beta.vaults.*", "beta.webhooks.*"),
    )

    def client(self, url: str, retries: int = 0) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=url, api_key="k", max_retries=retries)

    def async_client(self, url: str, retries: int = 0) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=retries)

    def method(self, client: Any) -> Any:
        return client.messages.create
