# SPDX-License-Identifier: Apache-2.0
"""The integration kit finds what is wrong: a method that nobody decided on, a lost call, changed arguments."""

from __future__ import annotations

from typing import Any

import groq
import pytest

from otel_agent_instrumentation.testing import kit_parts
from otel_agent_instrumentation.testing.kit import IntegrationKit, Use
from otel_agent_instrumentation.testing.provider import Provider, openai_chat, openai_chat_stream


class Groq(IntegrationKit):
    """Not collected by pytest: its tests are called here."""

    name = "groq"
    reply = openai_chat()
    streamed = openai_chat_stream()
    declined = ("audio.*", "batches.*", "embeddings.*", "files.*", "models.*")

    def __init__(self) -> None:
        self.request: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        self.covered: Any = {"chat.completions.create": Use(self.request)}

    def client(self, url: str, retries: int = 0) -> groq.Groq:
        return groq.Groq(base_url=url, api_key="k", max_retries=retries)

    def async_client(self, url: str, retries: int = 0) -> groq.AsyncGroq:
        return groq.AsyncGroq(base_url=url, api_key="k", max_retries=retries)

    def method(self, client: Any) -> Any:
        return client.chat.completions.create


class GroqWithoutEmbeddings(Groq):
    declined = ("audio.*", "batches.*", "files.*", "models.*")


class GroqThatIsChanged(Groq):
    def method(self, client: Any) -> Any:
        def create(**arguments: Any) -> Any:
            result = client.chat.completions.create(**arguments)
            arguments["messages"].append({"role": "user", "content": "more"})
            return result

        return create


@pytest.fixture
def provider():
    with Provider() as provider:
        yield provider


@pytest.mark.parametrize("later", [False, True])
def test_a_method_that_nobody_decided_on(later):
    Groq().test_every_public_method_is_covered_or_declined(later=later)
    kit = GroqWithoutEmbeddings()
    with pytest.raises(AssertionError, match=r"declined: \['embeddings\.create'\]"):
        kit.test_every_public_method_is_covered_or_declined(later=later)


@pytest.mark.parametrize("later", [False, True])
def test_a_covered_method_that_is_not_told(provider, later):
    kit = Groq()
    kit.test_every_covered_method_is_one_call(provider, later=later)
    kit.covered["models.list"] = Use(reply=openai_chat(object="list", data=[]))
    with pytest.raises(AssertionError, match=r"models\.list"):
        kit.test_every_covered_method_is_one_call(provider, later=later)


def test_arguments_that_were_changed(provider):
    Groq().test_the_callers_arguments_are_not_changed(provider)
    with pytest.raises(AssertionError, match="more"):
        GroqThatIsChanged().test_the_callers_arguments_are_not_changed(provider)


def test_a_request_is_compared_without_what_is_new_each_time(provider):
    kit = Groq()
    for _ in range(2):
        kit.play(provider.url)
    first, second = map(kit_parts.wire, provider.requests)
    assert first == second
    assert b"hello" in first[3]  # type: ignore[operator]
