# SPDX-License-Identifier: Apache-2.0
"""Tool-calling loops over three APIs, step by step: what a test asks, gets, and sends back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from clients import ASK, ASK_CLAUDE, ASK_RESPONSES
from otel_agent_instrumentation import semconv, tool
from otel_agent_instrumentation.testing.provider import (
    Tool,
    anthropic_message,
    anthropic_message_stream,
    openai_chat,
    openai_chat_stream,
    openai_responses,
    openai_responses_stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from clients import Scene
    from otel_agent_instrumentation.testing.reply import Reply

TOOL_CHAT = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
TOOL_RESPONSES = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
TOOL_CLAUDE = {"name": "get_weather", "input_schema": {"type": "object"}}


@tool
def noop() -> None:
    """A tool of a module that can be imported: pickle needs one."""


class Chat:
    """One conversation over chat completions."""

    api = "chat"

    def __init__(self, scene: Scene, *, stream: bool = False) -> None:
        self.scene, self.stream = scene, stream
        self.history: list[Any] = list(ASK["messages"])

    def answer(self, *tools: Tool) -> Reply:
        """What the provider is to answer: these tool calls, or a text."""
        if self.stream:
            return openai_chat_stream(tools=tools) if tools else openai_chat_stream()
        return openai_chat(tools=tools) if tools else openai_chat("Sunny.")

    def ask(self, *tools: Tool, history: list[Any] | None = None, **options: Any) -> Any:
        """Send the history (or another) and take the answer into it."""
        self.scene.provider.enqueue(self.answer(*tools))
        sent = self.history if history is None else history
        got = self.send(sent, **options)
        if history is None:
            self.history.append(self.turn(tools))
        return got

    def send(self, history: list[Any], **options: Any) -> Any:
        """One call."""
        got = self.scene.openai.chat.completions.create(
            **{"model": "gpt-5", "messages": history, "tools": [TOOL_CHAT], "stream": self.stream, **options}
        )
        return list(got) if self.stream else got

    def turn(self, tools: Sequence[Tool]) -> Any:
        """The assistant's turn."""
        calls = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
            for one in tools
        ]
        return {"role": "assistant", "content": None if calls else "Sunny.", **({"tool_calls": calls} if calls else {})}

    def results(self, *ids: str, failed: Iterable[str] = ()) -> None:
        """Put tool results into the history."""
        self.history += [{"role": "tool", "tool_call_id": one, "content": "21 degrees"} for one in ids]

    def say(self, text: str) -> None:
        """Put a user's turn into the history."""
        self.history.append({"role": "user", "content": text})


class Responses(Chat):
    """The same over the Responses API, the history sent each time."""

    api = "responses"

    def __init__(self, scene: Scene, *, stream: bool = False) -> None:
        super().__init__(scene, stream=stream)
        self.history = [{"role": "user", "content": ASK_RESPONSES["input"]}]

    def answer(self, *tools: Tool) -> Reply:
        if self.stream:
            return openai_responses_stream(tools=tools) if tools else openai_responses_stream()
        return openai_responses(tools=tools) if tools else openai_responses("Sunny.")

    def send(self, history: list[Any], **options: Any) -> Any:
        flat = [item for turn in history for item in (turn if isinstance(turn, list) else [turn])]
        got = self.scene.openai.responses.create(
            **{"model": "gpt-5", "input": flat, "tools": [TOOL_RESPONSES], "stream": self.stream, **options}
        )
        return list(got) if self.stream else got

    def turn(self, tools: Sequence[Tool]) -> Any:
        if not tools:
            return {"role": "assistant", "content": "Sunny."}
        return [
            {"type": "function_call", "call_id": one.id, "name": one.name, "arguments": one.arguments} for one in tools
        ]

    def results(self, *ids: str, failed: Iterable[str] = ()) -> None:
        self.history += [{"type": "function_call_output", "call_id": one, "output": "21 degrees"} for one in ids]


class Messages(Chat):
    """The same over Anthropic's Messages API."""

    api = "messages"

    def answer(self, *tools: Tool) -> Reply:
        if self.stream:
            return anthropic_message_stream(tools=tools) if tools else anthropic_message_stream()
        return anthropic_message(tools=tools) if tools else anthropic_message("Sunny.")

    def send(self, history: list[Any], **options: Any) -> Any:
        got = self.scene.anthropic.messages.create(
            **{**ASK_CLAUDE, "messages": history, "tools": [TOOL_CLAUDE], "stream": self.stream, **options}
        )
        return list(got) if self.stream else got

    def turn(self, tools: Sequence[Tool]) -> Any:
        calls = [
            {"type": "tool_use", "id": one.id, "name": one.name, "input": json.loads(one.arguments)} for one in tools
        ]
        return {"role": "assistant", "content": calls or "Sunny."}

    def results(self, *ids: str, failed: Iterable[str] = ()) -> None:
        failed = set(failed)
        blocks = [
            {"type": "tool_result", "tool_use_id": one, "content": "21", "is_error": one in failed} for one in ids
        ]
        self.history.append({"role": "user", "content": blocks})


LOOPS = (Chat, Responses, Messages)


def tools_of(spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    """The spans of tools, by their start."""
    found = [span for span in spans if (span.attributes or {}).get(semconv.OPERATION_NAME) == semconv.EXECUTE_TOOL]
    return sorted(
        found, key=lambda span: (span.start_time or 0, str((span.attributes or {}).get(semconv.TOOL_CALL_ID)))
    )


def ids_of(spans: Iterable[ReadableSpan]) -> list[Any]:
    """The ids of the tool calls that have spans, in order."""
    return [(span.attributes or {}).get(semconv.TOOL_CALL_ID) for span in tools_of(spans)]
