# SPDX-License-Identifier: Apache-2.0
"""Claude on Bedrock and Vertex, OpenAI on Azure: the same facts under the provider's own name."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from clients import ASK, ASK_CLAUDE
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import (
    ClaudeTokens,
    Tool,
    anthropic_bedrock_stream,
    anthropic_message,
    anthropic_message_stream,
    openai_chat,
    openai_chat_stream,
)
from recorded import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clients import Scene
    from otel_agent_instrumentation.testing.provider import Reply

pytestmark = pytest.mark.matrix

TOKENS = ClaudeTokens(input=10, output=9, cache_read=100, cache_creation=20)
ANSWER = {
    semconv.REQUEST_MODEL: "claude-next",
    semconv.RESPONSE_MODEL: "claude-sonnet-4-5-20250929",
    semconv.RESPONSE_ID: "msg_1",
    semconv.RESPONSE_FINISH_REASONS: ("tool_call",),
    semconv.USAGE_INPUT_TOKENS: 130,
    semconv.USAGE_OUTPUT_TOKENS: 9,
    semconv.USAGE_CACHE_READ: 100,
    semconv.USAGE_CACHE_CREATION: 20,
    semconv.TOOL_CALL_NAMES: ("get_weather",),
    semconv.TOOL_CALL_IDS: ("call_1",),
}


def bedrock(url: str, prefix: str, http: Any) -> Any:
    keys = {"aws_access_key": "AKIAX", "aws_secret_key": "s", "aws_region": "us-east-1"}
    return getattr(anthropic, f"{prefix}AnthropicBedrock")(base_url=url, max_retries=0, http_client=http, **keys)


def vertex(url: str, prefix: str, http: Any) -> Any:
    place = {"region": "us-east5", "project_id": "p", "access_token": "t"}
    return getattr(anthropic, f"{prefix}AnthropicVertex")(base_url=url, max_retries=0, http_client=http, **place)


CLOUDS: dict[str, tuple[Any, str, Reply]] = {
    "bedrock": (bedrock, "aws.bedrock", anthropic_bedrock_stream(tools=[Tool()], tokens=TOKENS)),
    "vertex": (vertex, "gcp.vertex_ai", anthropic_message_stream(tools=[Tool()], tokens=TOKENS)),
}
WHOLE = anthropic_message(tools=[Tool()], tokens=TOKENS)


def of_sync(client: Any, way: str) -> Any:  # noqa: PLR0911 - one a way
    """One call, its answer read to the end."""
    messages, ask = client.messages, ASK_CLAUDE
    match way:
        case "create":
            return messages.create(**ask)
        case "stream":
            return list(messages.create(**ask, stream=True))
        case "helper":
            with messages.stream(**ask) as stream:
                return stream.get_final_message()
        case "raw":
            return messages.with_raw_response.create(**ask).parse()
        case "raw-stream":
            return list(messages.with_raw_response.create(**ask, stream=True).parse())
        case "streaming":
            with messages.with_streaming_response.create(**ask) as response:
                return response.parse()
        case "streaming-stream":
            with messages.with_streaming_response.create(**ask, stream=True) as response:
                return list(response.parse())
        case _:
            with messages.with_streaming_response.create(**ask, stream="stream" in way) as response:
                return list(response.iter_bytes())


async def of_async(client: Any, way: str) -> Any:  # noqa: PLR0911 - one a way
    """The same, async."""
    messages, ask = client.messages, ASK_CLAUDE
    match way:
        case "create":
            return await messages.create(**ask)
        case "stream":
            return [event async for event in await messages.create(**ask, stream=True)]
        case "helper":
            async with messages.stream(**ask) as stream:
                return await stream.get_final_message()
        case "raw":
            return await parsed(await messages.with_raw_response.create(**ask))
        case "raw-stream":
            return [event async for event in await parsed(await messages.with_raw_response.create(**ask, stream=True))]
        case "streaming":
            async with messages.with_streaming_response.create(**ask) as response:
                return await response.parse()
        case "streaming-stream":
            async with messages.with_streaming_response.create(**ask, stream=True) as response:
                return [event async for event in await response.parse()]
        case _:
            async with messages.with_streaming_response.create(**ask, stream="stream" in way) as response:
                return [piece async for piece in response.iter_bytes()]


async def parsed(raw: Any) -> Any:
    answer = raw.parse()
    return await answer if inspect.isawaitable(answer) else answer


WAYS = ("create", "stream", "helper", "raw", "raw-stream", "streaming", "streaming-stream", "bytes", "bytes-stream")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cloud", CLOUDS)
def test_claude_in_a_cloud_is_told_as_claude_itself(cloud: str, way: str, asynchronous: bool, scene: Scene) -> None:
    make, name, streamed = CLOUDS[cloud]
    scene.provider.reply = streamed if "stream" in way.removeprefix("streaming") or way == "helper" else WHOLE
    before = called(make, way, asynchronous, scene)
    with capture() as captured:
        answer = called(make, way, asynchronous, scene)
        span = captured.span()
        tokens = captured.tokens()
    attributes = span.attributes or {}
    assert {key: attributes.get(key) for key in ANSWER} == ANSWER
    assert (attributes[semconv.PROVIDER_NAME], attributes[semconv.OPERATION_NAME]) == (name, "chat")
    assert (attributes[semconv.SERVER_ADDRESS], span.name) == ("127.0.0.1", "chat claude-next")
    assert span.status.status_code.name == "UNSET"
    assert tokens == {"input": 130, "output": 9}
    assert plain(answer) == plain(before) != []


def called(make: Any, way: str, asynchronous: bool, scene: Scene) -> Any:
    """Call in this way; the answer."""
    if not asynchronous:
        with make(scene.provider.url, "", anthropic.DefaultHttpxClient(verify=False)) as client:
            return of_sync(client, way)

    async def main() -> Any:
        async with make(scene.provider.url, "Async", anthropic.DefaultAsyncHttpxClient(verify=False)) as client:
            return await of_async(client, way)

    return asyncio.run(main())


def azure_facts(attributes: Mapping[str, Any] | None) -> list[Any]:
    names = (semconv.PROVIDER_NAME, semconv.REQUEST_MODEL, semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS)
    return [(attributes or {}).get(name) for name in names]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_openai_on_azure_whatever_its_host(stream: bool, asynchronous: bool, scene: Scene) -> None:
    scene.provider.reply = openai_chat_stream() if stream else openai_chat()
    place: Any = {"azure_endpoint": scene.provider.url, "api_version": "2024-10-21", "api_key": "k", "max_retries": 0}
    ask: Any = {**ASK, "stream": stream}

    async def main() -> None:
        http = openai.DefaultAsyncHttpxClient(verify=False)
        async with openai.AsyncAzureOpenAI(**place, http_client=http) as client:
            answer = await client.chat.completions.create(**ask)
            assert not stream or [chunk async for chunk in answer]

    with capture() as captured:
        if asynchronous:
            asyncio.run(main())
        else:
            with openai.AzureOpenAI(**place, http_client=openai.DefaultHttpxClient(verify=False)) as client:
                answer = client.chat.completions.create(**ask)
                assert not stream or list(answer)
        assert azure_facts(captured.span().attributes) == ["azure.ai.openai", "gpt-5", 11, 7]
        assert captured.tokens() == {"input": 11, "output": 7}
    assert "/deployments/gpt-5/" in scene.provider.requests[0].path
