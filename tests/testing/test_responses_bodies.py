# SPDX-License-Identifier: Apache-2.0
"""The real client accepts responses and their events and puts the same answer together from both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from otel_agent_instrumentation.testing.openai_bodies import Tokens, Tool
from otel_agent_instrumentation.testing.provider import Provider
from otel_agent_instrumentation.testing.responses_bodies import openai_responses, openai_responses_stream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


@pytest.fixture
def client(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="test", max_retries=0) as one:
        yield one


def test_whole(provider: Provider, client: openai.OpenAI) -> None:
    provider.enqueue(openai_responses("Yes.", tokens=Tokens(10, 5, cached=3, reasoning=2)))
    answer = client.responses.create(model="m", input="hi")
    assert (answer.output_text, answer.status) == ("Yes.", "completed")
    assert answer.usage
    assert answer.usage.input_tokens_details.cached_tokens == 3
    assert answer.usage.output_tokens_details.reasoning_tokens == 2


def test_tools(provider: Provider, client: openai.OpenAI) -> None:
    provider.enqueue(openai_responses(tools=[Tool()]))
    (item,) = client.responses.create(model="m", input="hi").output
    assert item.type == "function_call"
    assert (item.name, item.arguments, item.call_id) == ("get_weather", '{"city":"Paris"}', "call_1")


@pytest.mark.parametrize("n", [0, 1, 5])
def test_stream(provider: Provider, client: openai.OpenAI, n: int) -> None:
    provider.enqueue(openai_responses_stream(n))
    with client.responses.stream(model="m", input="hi") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert len(deltas) == n
    assert "".join(deltas) == final.output_text == "".join(f"w{i} " for i in range(n))


def test_stream_of_tools(provider: Provider, client: openai.OpenAI) -> None:
    tools = (Tool(), Tool("book", '{"seats":2}', "call_2"))
    provider.enqueue(openai_responses_stream(3, tools=tools))
    with client.responses.stream(model="m", input="hi") as stream:
        output = stream.get_final_response().output
    assert [item.arguments for item in output if item.type == "function_call"] == [tool.arguments for tool in tools]


def test_an_incomplete_stream_ends_so(provider: Provider, client: openai.OpenAI) -> None:
    provider.enqueue(
        openai_responses_stream(1, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    )
    events = list(client.responses.create(model="m", input="hi", stream=True))
    assert events[0].type == "response.created"
    assert events[0].response.status == "in_progress"
    assert events[-1].type == "response.incomplete"
    assert [event.sequence_number for event in events] == list(range(len(events)))
