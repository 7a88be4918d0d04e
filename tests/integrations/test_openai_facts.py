# SPDX-License-Identifier: Apache-2.0
"""openai: parsed answers, tool calls, choices, conversations, retries and first chunks, as they are asked for."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from clients import ASK, ASK_CLAUDE, ASK_RESPONSES, async_anthropic, async_openai, sync_anthropic, sync_openai
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing import sse
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.openai_bodies import chat_usage
from otel_agent_instrumentation.testing.provider import (
    BEFORE_HEAD,
    Tokens,
    Tool,
    anthropic_error,
    anthropic_message,
    anthropic_message_stream,
    openai_chat,
    openai_chat_stream,
    openai_completion,
    openai_completion_stream,
    openai_embeddings,
    openai_error,
    openai_responses,
    openai_responses_stream,
    stream_reply,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured
    from otel_agent_instrumentation.testing.provider import Reply

pytestmark = pytest.mark.matrix

HAS_RESPONSES = find_spec("openai.resources.responses") is not None
needs_responses = pytest.mark.skipif(not HAS_RESPONSES, reason="needs: package openai>=1.66")
TWO = [Tool("get_weather", '{"city":"Paris"}', "call_1"), Tool("get_time", "{}", "call_2")]


class City(BaseModel):
    name: str


def facts(captured: Captured) -> Mapping[str, Any]:
    """The attributes of the one span."""
    return captured.span().attributes or {}


# --- parse ------------------------------------------------------------------------------------------------------------


def parse_of(client: Any) -> Any:
    """`chat.completions.parse`, which was beta before 1.92."""
    return getattr(client.chat.completions, "parse", None) or client.beta.chat.completions.parse


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_parsed_chat_is_one_call(asynchronous: bool, scene: Scene) -> None:
    scene.provider.reply = openai_chat('{"name":"Paris"}')

    async def main() -> Any:
        async with async_openai(scene.provider.url) as client:
            return await parse_of(client)(**ASK, response_format=City)

    with capture() as captured:
        answer = asyncio.run(main()) if asynchronous else parse_of(scene.openai)(**ASK, response_format=City)
        told = facts(captured)
        assert captured.tokens() == {"input": 11, "output": 7}
    assert answer.choices[0].message.parsed == City(name="Paris")
    assert (told[semconv.OUTPUT_TYPE], told[semconv.RESPONSE_ID]) == ("json", "chatcmpl-1")


@needs_responses
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_parsed_response_is_one_call(asynchronous: bool, scene: Scene) -> None:
    scene.provider.reply = openai_responses('{"name":"Paris"}')

    async def main() -> Any:
        async with async_openai(scene.provider.url) as client:
            return await client.responses.parse(**ASK_RESPONSES, text_format=City)

    with capture() as captured:
        answer = (
            asyncio.run(main()) if asynchronous else scene.openai.responses.parse(**ASK_RESPONSES, text_format=City)
        )
        told = facts(captured)
        assert captured.tokens() == {"input": 11, "output": 7}
    assert answer.output_parsed == City(name="Paris")
    assert (told[semconv.OUTPUT_TYPE], told[semconv.RESPONSE_ID]) == ("json", "resp_1")


# --- the other APIs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_legacy_completion(stream: bool, scene: Scene) -> None:
    scene.provider.reply = openai_completion_stream() if stream else openai_completion()
    with capture() as captured:
        answer = scene.openai.completions.create(model="i", prompt="x", stream=stream, max_tokens=5)
        assert not stream or list(answer)
        told, span = facts(captured), captured.span()
        assert captured.tokens() == ({} if stream else {"input": 11, "output": 7})
    assert (span.name, told[semconv.OPERATION_NAME]) == ("text_completion i", "text_completion")
    assert (told[semconv.REQUEST_MAX_TOKENS], told[semconv.RESPONSE_FINISH_REASONS]) == (5, ("stop",))


def test_embeddings(scene: Scene) -> None:
    scene.provider.reply = openai_embeddings(2, tokens=9)
    with capture() as captured:
        scene.openai.embeddings.create(model="e", input=["a", "b"], dimensions=8, encoding_format="float")
        told, span = facts(captured), captured.span()
        assert captured.tokens() == {"input": 9}
    assert (span.name, told[semconv.EMBEDDINGS_DIMENSION_COUNT]) == ("embeddings e", 8)
    assert told[semconv.REQUEST_ENCODING_FORMATS] == ("float",)
    assert semconv.USAGE_OUTPUT_TOKENS not in told


def test_request_parameters_are_told_by_the_conventions_names(scene: Scene) -> None:
    sent = {"temperature": 0.5, "top_p": 0.25, "max_tokens": 9, "frequency_penalty": 0.1, "presence_penalty": 0.2}
    with capture() as captured:
        scene.openai.chat.completions.create(**ASK, **sent, seed=7, extra_body={"reasoning_effort": "low"})
        told = facts(captured)
    assert {name: told[f"gen_ai.request.{name}"] for name in sent} == sent
    assert (told[semconv.REQUEST_SEED], told[semconv.REQUEST_REASONING_LEVEL]) == (7, "low")
    assert semconv.REQUEST_STREAM not in told


# --- choices and tool calls -------------------------------------------------------------------------------------------


def two_choices() -> Reply:
    """Two choices, streamed, the second one finished first."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return sse.encode({**head, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    call = {"index": 0, "id": "call_b", "function": {"name": "get_time", "arguments": ""}}
    parts = [chunk(0, {"content": "a"}), chunk(1, {"tool_calls": [call]}), chunk(1, {}, "tool_calls")]
    last = sse.encode({**head, "choices": [], "usage": chat_usage(Tokens(5, 6))})
    return stream_reply([*parts, chunk(0, {}, "length"), last, sse.DONE])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_two_choices_have_a_finish_reason_each_by_index_and_tokens_once(stream: bool, scene: Scene) -> None:
    call = {"id": "call_b", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    choices = [
        {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "length"},
        {"index": 1, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"},
    ]
    scene.provider.reply = two_choices() if stream else openai_chat(choices=choices, tokens=Tokens(5, 6))
    with capture() as captured:
        answer = scene.openai.chat.completions.create(**ASK, n=2, stream=stream)
        assert not stream or list(answer)
        told = facts(captured)
        assert captured.tokens() == {"input": 5, "output": 6}
    assert told[semconv.RESPONSE_FINISH_REASONS] == ("length", "tool_call")
    assert told[semconv.REQUEST_CHOICE_COUNT] == 2
    assert (told[semconv.TOOL_CALL_COUNT], told[semconv.TOOL_CALL_IDS]) == (1, ("call_b",))


TOOLS = [
    pytest.param("chat", openai_chat(tools=TWO), id="chat"),
    pytest.param("chat", openai_chat_stream(tools=TWO), id="chat-stream"),
    pytest.param("responses", openai_responses(tools=TWO), id="responses", marks=needs_responses),
    pytest.param("responses", openai_responses_stream(tools=TWO), id="responses-stream", marks=needs_responses),
    pytest.param("messages", anthropic_message(tools=TWO), id="messages"),
    pytest.param("messages", anthropic_message_stream(tools=TWO), id="messages-stream"),
]


def call_api(scene: Scene, api: str, **more: Any) -> Any:
    """Ask one of the three APIs."""
    match api:
        case "chat":
            return scene.openai.chat.completions.create(**ASK, **more)
        case "responses":
            return scene.openai.responses.create(**ASK_RESPONSES, **more)
        case _:
            return scene.anthropic.messages.create(**ASK_CLAUDE, **more)


@pytest.mark.parametrize(("api", "reply"), TOOLS)
def test_the_tools_that_the_model_asks_for_are_named(api: str, reply: Reply, scene: Scene) -> None:
    scene.provider.reply = reply
    stream = isinstance(reply.body, tuple)
    with capture() as captured:
        answer = call_api(scene, api, stream=stream)
        assert not stream or list(answer)
        told = facts(captured)
        lines = captured.lines()
    assert told[semconv.TOOL_CALL_NAMES] == ("get_weather", "get_time")
    assert told[semconv.TOOL_CALL_IDS] == ("call_1", "call_2")
    assert (told[semconv.TOOL_CALL_COUNT], told[semconv.RESPONSE_FINISH_REASONS]) == (2, ("tool_call",))
    assert "Paris" not in json.dumps([line.payload for line in lines])


@needs_responses
@pytest.mark.parametrize("given", ["conv_1", {"id": "conv_1"}], ids=["id", "object"])
def test_the_conversation_is_told(given: Any, scene: Scene) -> None:
    with capture() as captured:
        scene.openai.responses.create(**ASK_RESPONSES, extra_body={"conversation": given})
        assert facts(captured)[semconv.CONVERSATION_ID] == "conv_1"
        captured.clear()
        scene.provider.reply = openai_responses(conversation={"id": "conv_2"})
        scene.openai.responses.create(**ASK_RESPONSES)
        assert facts(captured)[semconv.CONVERSATION_ID] == "conv_2"
        captured.clear()
        scene.openai.responses.create(**ASK_RESPONSES, previous_response_id="resp_0")
        assert facts(captured)[semconv.REQUEST_PREVIOUS_RESPONSE_ID] == "resp_0"


def test_the_time_to_the_first_chunk_is_told_of_streams_alone(scene: Scene) -> None:
    metric = "gen_ai.client.operation.time_to_first_chunk"
    with capture() as captured:
        call_api(scene, "chat")
        assert semconv.RESPONSE_TIME_TO_FIRST_CHUNK not in facts(captured)
        assert captured.points(metric) == []
        for api in ("chat", "messages"):
            captured.clear()
            list(call_api(scene, api, stream=True))
            told = facts(captured)
            assert 0 < told[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] < 60
            assert (told[semconv.REQUEST_STREAM], told[semconv.STREAM_CHUNKS] > 3) == (True, True)
        assert sum(point.count for point in captured.points(metric)) == 2


# --- retries ----------------------------------------------------------------------------------------------------------

NO_ANSWER = openai_chat().but(die_after=BEFORE_HEAD)
RETRIES: dict[str, tuple[Any, Any, dict[str, Any], Reply, Reply]] = {
    "openai": (sync_openai, async_openai, ASK, openai_error(429, retry_after=0.01), openai_chat()),
    "anthropic": (
        sync_anthropic,
        async_anthropic,
        ASK_CLAUDE,
        anthropic_error(429, retry_after=0.01),
        anthropic_message(),
    ),
}


def retried(scene: Scene, name: str, *, asynchronous: bool) -> None:
    """One call of a client that retries three times."""
    sync_client, async_client, ask, *_ = RETRIES[name]

    def create(client: Any) -> Any:
        return client.chat.completions.create if name == "openai" else client.messages.create

    async def main() -> None:
        async with async_client(scene.provider.url, max_retries=3) as client:
            await create(client)(**ask)

    if asynchronous:
        asyncio.run(main())
        return
    with sync_client(scene.provider.url, max_retries=3) as client:
        create(client)(**ask)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", RETRIES)
def test_the_clients_retries_are_one_call_that_tells_them(name: str, asynchronous: bool, scene: Scene) -> None:
    *_, busy, answer = RETRIES[name]
    scene.provider.enqueue(busy, NO_ANSWER, busy, answer)
    with capture() as captured:
        retried(scene, name, asynchronous=asynchronous)
        span = captured.span()
        assert captured.tokens() == {"input": 11, "output": 7}
        (line,) = [line for line in captured.lines() if line.payload.get("kind") == "CLIENT"]
    assert len(scene.provider.requests) == 4
    assert (span.attributes or {})[semconv.RETRY_COUNT] == 3
    busy_told, cut_told = {semconv.HTTP_STATUS: 429}, {semconv.ERROR_TYPE: "connection"}
    events = [(event.name, dict(event.attributes or {})) for event in span.events]
    assert events == [(semconv.EVENT_ATTEMPT, one) for one in (busy_told, cut_told, busy_told)]
    assert [(event["name"], event["attributes"]) for event in line.payload["events"]] == events
    times = [event.timestamp for event in span.events]
    assert times == sorted(times)
    assert (span.start_time or 0) <= times[0] <= times[-1] <= (span.end_time or 0)
    assert (span.status.status_code.name, (span.attributes or {}).get(semconv.ERROR_TYPE)) == ("UNSET", None)


@pytest.mark.parametrize("name", RETRIES)
def test_retries_that_do_not_help_end_in_the_callers_error(name: str, scene: Scene) -> None:
    *_, busy, _ = RETRIES[name]
    scene.provider.reply = busy
    with capture() as captured:
        with pytest.raises(Exception, match="No"):
            retried(scene, name, asynchronous=False)
        span, told = captured.span(), facts(captured)
        assert captured.tokens() == {}
    assert (told[semconv.RETRY_COUNT], len(span.events)) == (3, 3)
    assert (told[semconv.ERROR_TYPE], told[semconv.HTTP_STATUS]) == ("RateLimitError", 429)
    assert span.status.status_code.name == "ERROR"


def test_a_call_without_retries_says_nothing_of_them(scene: Scene) -> None:
    with capture() as captured:
        call_api(scene, "chat")
        assert (semconv.RETRY_COUNT in facts(captured), captured.span().events) == (False, ())
