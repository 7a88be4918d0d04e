# SPDX-License-Identifier: Apache-2.0
"""The oracle reads bodies by the contracts' rules, and agrees with what the real clients make of every recording."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agent_instrumentation.testing import sse, traffic
from otel_agent_instrumentation.testing.anthropic_bodies import (
    ClaudeTokens,
    anthropic_error_event,
    anthropic_message,
    anthropic_message_stream,
)
from otel_agent_instrumentation.testing.drive import Player
from otel_agent_instrumentation.testing.openai_bodies import (
    Tokens,
    Tool,
    cut_by_error,
    openai_chat,
    openai_chat_stream,
    openai_completion,
    openai_embeddings,
    openai_error,
)
from otel_agent_instrumentation.testing.reply import Reply, json_reply, stream_reply
from otel_agent_instrumentation.testing.responses_bodies import openai_responses, openai_responses_stream
from otel_agent_instrumentation.testing.truth import Truth, truth

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


def of(path: str, reply: Reply) -> Truth:
    kind = reply.headers["content-type"]
    return truth(traffic.Exchange("1", "p", "s", "POST", path, "", {}, None, reply.status, kind, reply.content))


def test_chat_whole_and_streamed() -> None:
    tokens = Tokens(100, 20, cached=60, reasoning=5)
    expected = Truth("chat", "gpt-4o-mini-2024-07-18", "chatcmpl-1", ("stop",), 100, 20, 60, None, 5)
    assert of(CHAT, openai_chat(tokens=tokens)) == expected
    assert of(CHAT, openai_chat_stream(tokens=tokens)) == expected


def test_what_the_body_lacks_is_none() -> None:
    lacking = of(CHAT, openai_chat_stream(usage=False))
    assert (lacking.input_tokens, lacking.output_tokens, lacking.cached_tokens) == (None, None, None)
    bare = of(CHAT, openai_chat(usage={"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": None}))
    assert (bare.input_tokens, bare.output_tokens, bare.cached_tokens, bare.reasoning_tokens) == (0, 0, None, None)


@pytest.mark.parametrize(
    ("sent", "word"),
    [("tool_calls", "tool_call"), ("function_call", "tool_call"), ("length", "length"), ("eos", "eos")],
)
def test_finish_words(sent: str, word: str) -> None:
    choices = [{"index": 1, "finish_reason": sent}, {"index": 0, "finish_reason": "stop"}, {"index": 2}]
    assert of(CHAT, openai_chat(choices=choices)).finish_reasons == ("stop", word)


def test_the_last_usage_of_a_stream_wins_and_the_first_name_of_the_model() -> None:
    usages: list[dict[str, Any] | None] = [{"prompt_tokens": 1}, {"prompt_tokens": 2, "completion_tokens": 3}, None]
    chunks = [
        sse.encode({"model": model, "id": model, "usage": u}) for model, u in zip(["", "m", "n"], usages, strict=True)
    ]
    assert of(CHAT, stream_reply(chunks)) == Truth("chat", "m", "m", (), 2, 3)


def test_the_usage_of_groq_and_the_cache_of_deepseek() -> None:
    groq = of(CHAT, stream_reply([sse.encode({"x_groq": {"usage": {"prompt_tokens": 4}}})]))
    assert groq.input_tokens == 4
    assert of(CHAT, openai_chat(usage={"prompt_cache_hit_tokens": 64})).cached_tokens == 64


def test_completions_and_embeddings() -> None:
    completion = of("/v1/completions", openai_completion())
    assert completion == Truth("text_completion", "gpt-3.5-turbo-instruct", "cmpl-1", ("stop",), 11, 7)
    embeddings = of("/v1/embeddings", openai_embeddings(tokens=9))
    assert embeddings == Truth("embeddings", "text-embedding-3-small", None, (), 9, None)


def test_responses_whole_and_streamed() -> None:
    tokens = Tokens(10, 5, cached=3, reasoning=2)
    expected = Truth("chat", "gpt-4o-mini-2024-07-18", "resp_1", ("stop",), 10, 5, 3, None, 2)
    assert of(RESPONSES, openai_responses(tokens=tokens)) == expected
    assert of(RESPONSES, openai_responses_stream(tokens=tokens)) == expected
    assert of(RESPONSES, openai_responses_stream(tools=[Tool()])).finish_reasons == ("tool_call",)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, ("length",)),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, ("content_filter",)),
        ({"status": "failed"}, ("error",)),
        ({"status": "queued"}, ()),
        ({"status": "in_progress"}, ()),
    ],
)
def test_the_statuses_of_a_response(fields: dict[str, Any], words: tuple[str, ...]) -> None:
    assert of(RESPONSES, openai_responses(**fields)).finish_reasons == words


def test_messages_whole_and_streamed() -> None:
    tokens = ClaudeTokens(10, 9, 100, 20)
    expected = Truth("chat", "claude-sonnet-4-5-20250929", "msg_1", ("stop",), 130, 9, 100, 20)
    assert of(MESSAGES, anthropic_message(tokens=tokens)) == expected
    assert of(MESSAGES, anthropic_message_stream(tokens=tokens)) == expected
    assert of(MESSAGES, anthropic_message_stream(tools=[Tool()])).finish_reasons == ("tool_call",)


def test_what_message_delta_repeats_replaces_what_message_start_said() -> None:
    delta = {"input_tokens": 50, "cache_read_input_tokens": None, "output_tokens": 8}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1, "cache_read_input_tokens": 2}}},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": delta},
    ]
    read = of(MESSAGES, stream_reply(sse.encode(event, event=event["type"]) for event in events))
    assert read == Truth("chat", None, None, ("length",), 52, 8, 2, None)


def test_a_message_counts_its_thinking() -> None:
    usage = {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    assert of(MESSAGES, anthropic_message(usage=usage)).reasoning_tokens == 4


def test_errors() -> None:
    assert of(CHAT, openai_error(429)) == Truth("chat", error=True)
    assert of(CHAT, cut_by_error(openai_chat_stream(), 2)).error
    broken = of(MESSAGES, cut_by_error(anthropic_message_stream(), 3, anthropic_error_event()))
    assert (broken.error, broken.input_tokens, broken.finish_reasons) == (True, 11, ())
    assert of(MESSAGES, stream_reply([sse.encode({"message": {}}, event="error")])).error
    assert not of(RESPONSES, json_reply({"error": None, "status": "completed"})).error


def test_another_path_is_no_model_call() -> None:
    assert of("/v1/complete", json_reply({"model": "m"})) == Truth(None)


def from_client(result: Any) -> tuple[str | None, str | None, int | None, int | None]:
    """Model, id, fresh input and output as the client's own objects have them, whole or item by item."""
    items = [_plain(item) for item in (result if isinstance(result, list) else [result])]
    bodies = [item.get("response") or item.get("message") or item for item in items]
    models, ids = ([body[key] for body in bodies if body.get(key)] for key in ("model", "id"))
    counts: dict[str, int] = {}
    for body in bodies:
        usage = body.get("usage") or (body.get("x_groq") or {}).get("usage") or {}
        counts |= {key: count for key, count in usage.items() if isinstance(count, int)}
    fresh, output = (counts.get(f"{side}_tokens") for side in ("input", "output"))
    if "prompt_tokens" in counts:
        fresh, output = counts["prompt_tokens"], counts.get("completion_tokens")
    return (models or [None])[0], (ids or [None])[0], fresh, output


def _plain(item: Any) -> dict[str, Any]:
    return json.loads(item.model_dump_json(warnings=False))


@pytest.mark.shared
@pytest.mark.parametrize("provider", traffic.PROVIDERS)
def test_agrees_with_the_client_on_every_recording(provider: str) -> None:
    compared = 0
    with Player() as player:
        for exchange in traffic.load(provider):
            outcome, says = player.play(exchange), truth(exchange)
            if exchange.kind is None or outcome.kind == "refused":
                continue
            assert says.error == (outcome.kind == "error"), exchange.id
            if outcome.kind == "error":
                continue
            fresh = says.input_tokens
            if exchange.kind == "messages" and fresh is not None:
                fresh -= (says.cached_tokens or 0) + (says.cache_write_tokens or 0)
            assert from_client(outcome.result) == (says.model, says.id, fresh, says.output_tokens), exchange.id
            compared += 1
    assert compared
