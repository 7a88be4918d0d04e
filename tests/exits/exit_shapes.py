# SPDX-License-Identifier: Apache-2.0
"""The APIs that stream, and the five ways in which a client hands a stream to its user, sync and async."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic
import openai
from openai import resources

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.anthropic_bodies import CLAUDE
from otel_agent_instrumentation.testing.openai_bodies import MODEL
from otel_agent_instrumentation.testing.provider import (
    anthropic_error_event,
    anthropic_message_stream,
    cut_by_error,
    openai_chat_stream,
    openai_responses_stream,
)

if TYPE_CHECKING:
    from types import ModuleType

    from otel_agent_instrumentation.testing.provider import Reply

APIS = ("create", "helper", "raw", "lines", "parse")
"""`create(stream=True)`, `.stream()`, `with_raw_response` parsed, `with_streaming_response` by lines and parsed."""
BARE = frozenset({"create", "raw"})
"""What the call returns is the stream itself, not a manager of it."""
_ALL = {semconv.USAGE_INPUT_TOKENS: 11, semconv.USAGE_OUTPUT_TOKENS: 7}


@dataclass(frozen=True, slots=True)
class Shape:
    """One API of one client: how it is called, what the provider streams, what that tells."""

    name: str
    sdk: ModuleType
    client: str
    resource: str
    helper: str
    arguments: dict[str, Any]
    reply: Reply
    error_event: bytes | None
    error_code: str
    facts: dict[str, Any]
    """What the first event tells, beside the model and the id."""

    @property
    def broken(self) -> Reply:
        """Three events, then one that says that the API failed."""
        return cut_by_error(self.reply, 3, self.error_event)

    def facts_seen(self, *, any_item: bool, all_items: bool) -> dict[str, Any]:
        """What a span of this API must tell of the answer, after so much of it."""
        return {**self.facts, **(_ALL if all_items else {})} if any_item else {}

    def open(self, url: str, *, is_async: bool, **options: Any) -> Any:
        """Return a client for the provider at ``url``."""
        prefix = "Async" if is_async else ""
        # No certificates are needed on loopback, and reading them is most of a client's making.
        options.setdefault("http_client", getattr(self.sdk, f"Default{prefix}HttpxClient")(verify=False))
        base = url if self.sdk is anthropic else f"{url}/v1"
        made = getattr(self.sdk, f"{prefix}{self.client}")
        return made(base_url=base, api_key="k", max_retries=0, **options)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has not been made: ``api`` of ``shape`` on ``client``."""

    shape: Shape
    api: str
    client: Any

    def block(self) -> Any:
        """Return what a user writes behind `with`: the stream, or the manager of one. A coroutine of it if async."""
        resource = self._find(self.shape.resource)
        arguments = {**self.shape.arguments, "stream": True}
        if self.api == "create":
            return resource.create(**arguments)
        if self.api == "raw":
            return self._parsed(resource.with_raw_response.create(**arguments))
        if self.api == "helper":
            made = self._find(self.shape.helper)(**self.shape.arguments)
        else:
            made = resource.with_streaming_response.create(**arguments)
        return _now(made) if self._is_async else made

    @property
    def _is_async(self) -> bool:
        return type(self.client).__name__.startswith("Async")

    def _find(self, path: str) -> Any:
        found = self.client
        for name in path.split("."):
            found = getattr(found, name)
        return found

    def _parsed(self, raw: Any) -> Any:
        return _later(raw) if self._is_async else raw.parse()

    def items(self, held: Any) -> Any:
        """Return what a user iterates over, given what the `with` gave him; to be awaited if async."""
        if self.api == "lines":
            found = held.iter_lines()
        elif self.api == "parse":
            found = held.parse()
        else:
            found = held
        return _resolved(found) if self._is_async else found


async def _now(value: Any) -> Any:
    return value


async def _resolved(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _later(raw: Any) -> Any:
    # Async in openai 3 and in anthropic 1, sync before.
    return await _resolved((await raw).parse())


_USER = [{"role": "user", "content": "Say hello."}]
_HELPER = "chat.completions" if hasattr(resources.chat.Completions, "stream") else "beta.chat.completions"

CHAT = Shape(
    "chat",
    openai,
    "OpenAI",
    "chat.completions",
    f"{_HELPER}.stream",
    {"model": "gpt-5", "messages": _USER, "stream_options": {"include_usage": True}},
    openai_chat_stream(4),
    None,
    "server_error",
    {semconv.RESPONSE_ID: "chatcmpl-1", semconv.RESPONSE_MODEL: MODEL},
)
RESPONSES = Shape(
    "responses",
    openai,
    "OpenAI",
    "responses",
    "responses.stream",
    {"model": "gpt-5", "input": "Say hello."},
    openai_responses_stream(4),
    None,
    "server_error",
    {semconv.RESPONSE_ID: "resp_1", semconv.RESPONSE_MODEL: MODEL},
)
MESSAGES = Shape(
    "messages",
    anthropic,
    "Anthropic",
    "messages",
    "messages.stream",
    {"model": "claude-loopback", "messages": _USER, "max_tokens": 64},
    anthropic_message_stream(4),
    anthropic_error_event(),
    "overloaded_error",
    {
        semconv.RESPONSE_ID: "msg_1",
        semconv.RESPONSE_MODEL: CLAUDE,
        semconv.USAGE_INPUT_TOKENS: 11,
        semconv.USAGE_OUTPUT_TOKENS: 1,
    },
)
HAS_RESPONSES = hasattr(openai.OpenAI, "responses") or hasattr(resources, "Responses")
SHAPES = (CHAT, *((RESPONSES,) if HAS_RESPONSES else ()), MESSAGES)
