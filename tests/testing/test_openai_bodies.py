# SPDX-License-Identifier: Apache-2.0
"""The real OpenAI and Groq clients accept the bodies and read from them what was put in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import groq
import openai
import pytest

from otel_agent_instrumentation.testing.openai_bodies import (
    Tokens,
    Tool,
    cut_by_error,
    openai_chat,
    openai_chat_stream,
    openai_completion_stream,
    openai_embeddings,
    openai_error,
    pieces,
)
from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
TOOLS = (Tool(), Tool("book", '{"seats": 2}', "call_2"))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


@pytest.fixture
def client(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="test", max_retries=0) as one:
        yield one


def test_chat(provider: Provider, client: openai.OpenAI) -> None:
    provider.enqueue(openai_chat("Yes.", tokens=Tokens(100, 20, cached=60, reasoning=5), id="chatcmpl-9"))
    answer = client.chat.completions.create(model="m", messages=MESSAGES)
    usage = answer.usage
    assert (answer.id, answer.choices[0].message.content, answer.choices[0].finish_reason) == (
        "chatcmpl-9",
        "Yes.",
        "stop",
    )
    assert usage
    assert usage.prompt_tokens_details
    assert usage.completion_tokens_details
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 20, 120)
    assert usage.prompt_tokens_details.cached_tokens == 60
    assert usage.completion_tokens_details.reasoning_tokens == 5


def test_chat_without_usage_and_with_tools(provider: Provider, client: openai.OpenAI) -> None:
    provider.enqueue(openai_chat(tools=TOOLS, tokens=None))
    answer = client.chat.completions.create(model="m", messages=MESSAGES)
    calls = answer.choices[0].message.tool_calls or []
    assert answer.usage is None
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [(c.id, c.function.name, c.function.arguments) for c in calls if c.type == "function"] == [
        (tool.id, tool.name, tool.arguments) for tool in TOOLS
    ]


@pytest.mark.parametrize("usage", [True, False])
def test_chat_stream(provider: Provider, client: openai.OpenAI, usage: bool) -> None:
    provider.enqueue(openai_chat_stream(5, usage=usage, model="other"))
    chunks = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    assert len(chunks) == (8 if usage else 7)
    assert {chunk.model for chunk in chunks} == {"other"}
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text or "" for text in texts) == "w0 w1 w2 w3 w4 "
    assert (chunks[-1].usage is not None) is usage


def test_chat_stream_of_tools_is_put_together_by_the_client(provider: Provider, client: openai.OpenAI) -> None:
    provider.enqueue(openai_chat_stream(4, tools=TOOLS))
    with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls or []
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        (tool.id, tool.name, tool.arguments) for tool in TOOLS
    ]


def test_completion_and_embeddings(provider: Provider, client: openai.OpenAI) -> None:
    assert client.completions.create(model="m", prompt="p").choices[0].text == "Hello!"
    provider.enqueue(openai_completion_stream(2), openai_embeddings(3, dimensions=4, tokens=9))
    assert len(list(client.completions.create(model="m", prompt="p", stream=True))) == 3
    answer = client.embeddings.create(model="m", input=["a", "b", "c"])
    assert [len(one.embedding) for one in answer.data] == [4, 4, 4]
    assert answer.usage.prompt_tokens == 9


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_errors(provider: Provider, client: openai.OpenAI, status: int, raised: type[openai.APIStatusError]) -> None:
    provider.enqueue(openai_error(status, retry_after=2, message="Sorry.", code="c"))
    with pytest.raises(raised, match="Sorry") as caught:
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert caught.value.code == "c"
    assert caught.value.response.headers["retry-after-ms"] == "2000"
    assert caught.value.response.headers["retry-after"] == "2"


def test_a_stream_cut_by_an_error(provider: Provider, client: openai.OpenAI) -> None:
    provider.enqueue(cut_by_error(openai_chat_stream(5), 3))
    stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert [next(stream).object for _ in range(3)] == ["chat.completion.chunk"] * 3
    with pytest.raises(openai.APIError, match="had an error"):
        next(stream)


def test_groq_takes_the_same(provider: Provider) -> None:
    with groq.Groq(base_url=provider.url, api_key="test", max_retries=0) as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        chunks = list(
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "h"}], stream=True)
        )
    assert answer.choices[0].message.content == "Hello!"
    assert len(chunks) == 5


@pytest.mark.parametrize("n", [1, 3, 100])
def test_pieces_make_the_text_again(n: int) -> None:
    assert "".join(pieces("some text", n)) == "some text"
    assert len(pieces("some text", n)) <= max(n, 1)
