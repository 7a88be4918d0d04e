# SPDX-License-Identifier: Apache-2.0
"""A recorded request goes out of the real client as it was recorded, or is refused and counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import anthropic
import openai
import pytest

from otel_agent_instrumentation.testing import traffic
from otel_agent_instrumentation.testing.anthropic_bodies import anthropic_message, anthropic_message_stream
from otel_agent_instrumentation.testing.drive import Outcome, Player, client_for, drive, drive_async
from otel_agent_instrumentation.testing.openai_bodies import openai_chat, openai_chat_stream, openai_error
from otel_agent_instrumentation.testing.provider import Provider
from otel_agent_instrumentation.testing.reply import Reply, json_reply

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CLAUDE = {**ASK, "max_tokens": 9}
STREAM = {"stream": True}


def exchange(
    path: str, request: dict[str, Any], reply: Reply, provider: str = "openai", query: str = ""
) -> traffic.Exchange:
    kind = reply.headers["content-type"]
    return traffic.Exchange("1", provider, "s", "POST", path, query, request, None, reply.status, kind, reply.content)


CHAT = exchange("/v1/chat/completions", ASK, openai_chat())
CHAT_STREAM = exchange("/v1/chat/completions", ASK | STREAM, openai_chat_stream(2))
MESSAGE_STREAM = exchange("/v1/messages", CLAUDE | STREAM, anthropic_message_stream(2), "anthropic")
EVERY = [
    CHAT,
    CHAT_STREAM,
    MESSAGE_STREAM,
    exchange("/v1/messages", CLAUDE, anthropic_message(), "anthropic"),
    exchange("/v1/messages", CLAUDE, anthropic_message(), "anthropic", "beta=true"),
    exchange("/openai/v1/chat/completions", ASK | STREAM, openai_chat_stream(2), "groq"),
    exchange("/compatible-mode/v1/chat/completions", ASK, openai_chat(), "dashscope"),
    exchange("/openai/deployments/d/chat/completions", ASK, openai_chat(), "azure_openai", "api-version=2024-02-01"),
    exchange("/v1/moderations", {"input": "x"}, json_reply({"results": []})),
    exchange("/v1/complete", {"prompt": "x"}, json_reply({"completion": "y"}), "anthropic"),
]


@pytest.mark.parametrize("one", EVERY, ids=lambda one: f"{one.provider} {one.path}")
def test_sends_what_was_recorded(one: traffic.Exchange) -> None:
    with Player() as player:
        outcome = player.play(one)
        (request,) = player.requests
    assert outcome.kind == "ok", outcome.reason
    assert (request.path, request.json()) == (one.path, one.request)


def test_an_azure_call_keeps_its_version_and_a_beta_call_is_one() -> None:
    with Player() as player:
        player.play(EVERY[7])
        assert player.requests[0].query == "api-version=2024-02-01"
        assert type(player.play(EVERY[4]).result).__name__ == "BetaMessage"


def test_a_stream_is_read_to_its_end() -> None:
    with Player() as player:
        assert len(player.play(CHAT_STREAM).result) == 5


def test_an_api_error_is_an_error() -> None:
    with Player() as player:
        outcome = player.play(exchange("/v1/chat/completions", ASK, openai_error(401)))
    assert outcome.kind == "error"
    assert isinstance(outcome.error, openai.AuthenticationError)


def test_an_unknown_parameter_goes_into_the_extra_body() -> None:
    request = {**ASK, "thinking": {"type": "enabled"}}
    with Player() as player:
        outcome = player.play(exchange("/v1/chat/completions", request, openai_chat()))
        assert player.requests[0].json() == request
    assert (outcome.kind, outcome.extra) == ("ok", ("thinking",))


def test_what_the_client_will_not_send_is_refused() -> None:
    with Player() as player:
        outcome = player.play(exchange("/v1/messages", ASK, anthropic_message(), "anthropic"))
        assert player.requests == []
    assert outcome.kind == "refused"
    assert "max_tokens" in outcome.reason


def test_a_fault_after_sending_is_no_refusal() -> None:
    torn = Reply(200, {"content-type": "application/json"}, b"{")
    with Player() as player:
        outcome = player.play(exchange("/v1/chat/completions", ASK, torn))
    assert outcome.kind == "error"
    assert isinstance(outcome.error, json.JSONDecodeError)


@pytest.mark.parametrize("one", [CHAT, CHAT_STREAM, MESSAGE_STREAM], ids=lambda one: one.path)
def test_async_clients_do_the_same(one: traffic.Exchange) -> None:
    async def call(url: str) -> Outcome:
        async with client_for(one, url, asynchronous=True) as client:
            return await drive_async(client, one)

    with Provider() as provider:
        provider.reply = traffic.replies(one)
        outcome = asyncio.run(call(provider.url))
        with client_for(one, provider.url) as client:
            assert drive(client, one) == outcome
    assert outcome.kind == "ok"


def test_the_clients_are_those_of_the_provider() -> None:
    kinds = [type(client_for(one, "http://127.0.0.1:1")) for one in (CHAT, MESSAGE_STREAM, EVERY[7])]
    assert kinds == [openai.OpenAI, anthropic.Anthropic, openai.AzureOpenAI]


@pytest.mark.shared
def test_no_recording_is_refused_and_none_fails_unasked() -> None:
    kinds: Counter[str] = Counter()
    with Player() as player:
        for provider in traffic.PROVIDERS:
            for one in traffic.load(provider):
                outcome = player.play(one)
                kinds[outcome.kind] += 1
                assert (outcome.kind == "error") == (one.status >= 400), one.id
                assert outcome.kind == "refused" or len(player.requests) == 1
    assert kinds["refused"] == 0, "a client's new version may refuse more: look, then change the number"
    assert kinds["ok"] > 500
