# SPDX-License-Identifier: Apache-2.0
"""The real Anthropic and Bedrock clients accept the bodies, the frames' checksums included."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from anthropic.lib.bedrock import AnthropicBedrock

from otel_agent_instrumentation.testing.anthropic_bodies import (
    ClaudeTokens,
    anthropic_bedrock_stream,
    anthropic_error,
    anthropic_error_event,
    anthropic_events,
    anthropic_message,
    anthropic_message_stream,
    split_frames,
)
from otel_agent_instrumentation.testing.openai_bodies import Tool, cut_by_error
from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
TOOLS = (Tool(id="toolu_1"), Tool("book", '{"seats": 2}', "toolu_2"))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


@pytest.fixture
def client(provider: Provider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="test", max_retries=0) as one:
        yield one


def test_message(provider: Provider, client: anthropic.Anthropic) -> None:
    provider.enqueue(anthropic_message("Yes.", tools=TOOLS, tokens=ClaudeTokens(10, 5, 100, 20)))
    answer: anthropic.types.Message = client.messages.create(**REQUEST)
    text, *uses = answer.content
    assert text.type == "text"
    assert text.text == "Yes."
    assert [use.input for use in uses if use.type == "tool_use"] == [{"city": "Paris"}, {"seats": 2}]
    assert answer.stop_reason == "tool_use"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 100, 20)


def test_stream_is_put_together_by_the_client(provider: Provider, client: anthropic.Anthropic) -> None:
    provider.enqueue(anthropic_message_stream(4, tools=TOOLS, tokens=ClaudeTokens(output=9)))
    with client.messages.stream(**REQUEST) as stream:
        message = stream.get_final_message()
    text, *uses = message.content
    assert text.type == "text"
    assert text.text == "w w w w "
    assert [use.input for use in uses if use.type == "tool_use"] == [{"city": "Paris"}, {"seats": 2}]
    assert message.usage.output_tokens == 9
    assert anthropic_events()[0]["message"]["usage"]["output_tokens"] == 1, "the count of the start is no total"


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
    ],
)
def test_errors(
    provider: Provider, client: anthropic.Anthropic, status: int, raised: type[anthropic.APIStatusError]
) -> None:
    provider.enqueue(anthropic_error(status, retry_after=2))
    with pytest.raises(raised) as caught:
        client.messages.create(**REQUEST)
    assert caught.value.request_id == "req_1"
    assert caught.value.response.headers["retry-after-ms"] == "2000"


def test_a_stream_cut_by_an_error(provider: Provider, client: anthropic.Anthropic) -> None:
    provider.enqueue(cut_by_error(anthropic_message_stream(5), 4, anthropic_error_event()))
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        list(client.messages.create(**REQUEST, stream=True))


def test_bedrock_frames_hold_their_checksums_and_events() -> None:
    frames = split_frames(anthropic_bedrock_stream(2).content)
    events: list[Any] = []
    for frame in frames:
        total, header_length, prelude_crc = struct.unpack(">III", frame[:12])
        assert total == len(frame)
        assert prelude_crc == zlib.crc32(frame[:8])
        assert struct.unpack(">I", frame[-4:])[0] == zlib.crc32(frame[:-4])
        payload = json.loads(frame[12 + header_length : -4])
        events.append(json.loads(base64.b64decode(payload["bytes"])))
    assert events == anthropic_events(2)


def test_split_frames_keeps_a_torn_tail() -> None:
    whole = anthropic_bedrock_stream(1).content
    assert b"".join(split_frames(whole[:-3])) == whole[:-3]


def test_bedrock_client_reads_them(provider: Provider) -> None:
    client = AnthropicBedrock(base_url=provider.url, api_key="test", aws_region="eu-west-1")
    with client, client.messages.create(**REQUEST, stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds == [event["type"] for event in anthropic_events(3) if event["type"] != "ping"]
    assert provider.requests[0].path == "/model/m/invoke-with-response-stream"
