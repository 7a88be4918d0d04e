# SPDX-License-Identifier: Apache-2.0
"""Content: off unless asked for, then where it was asked for, in the convention's shape, bounded and redacted."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from left import everything
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import (
    Tool,
    anthropic_error,
    anthropic_message,
    anthropic_message_stream,
    openai_chat,
    openai_chat_stream,
    openai_error,
    openai_responses,
    openai_responses_stream,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clients import Scene
    from otel_agent_instrumentation.testing.provider import Reply

MODE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CONTENT = (semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES, semconv.SYSTEM_INSTRUCTIONS, semconv.TOOL_DEFINITIONS)
CALLED = Tool("get_weather", '{"city":"canary-arguments"}', "call_9")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "canary-schema"}}}
SECRET = "sk-proj-T3Bl" + "bkFJx9Qe7LmN4vRz81KsWp20YtHc"

CHAT: dict[str, Any] = {
    "model": "gpt-5",
    "messages": [
        {"role": "system", "content": "canary-system"},
        {"role": "user", "content": [{"type": "text", "text": "canary-user"}]},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c0", "type": "function", "function": {"name": "get_weather", "arguments": "canary-past"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c0", "content": "canary-result"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "get_weather", "description": "canary-tool", "parameters": SCHEMA}}
    ],
    "stop": ["canary-stop"],
    "user": "canary-end-user",
}
RESPONSES: dict[str, Any] = {
    "model": "gpt-5",
    "instructions": "canary-system",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "canary-user"}]},
        {"type": "function_call", "call_id": "c0", "name": "get_weather", "arguments": "canary-past"},
        {"type": "function_call_output", "call_id": "c0", "output": "canary-result"},
    ],
    "tools": [
        {"type": "function", "name": "get_weather", "description": "canary-tool", "parameters": SCHEMA, "strict": None}
    ],
    "metadata": {"note": "canary-metadata"},
}
MESSAGES: dict[str, Any] = {
    "model": "claude-next",
    "max_tokens": 100,
    "system": "canary-system",
    "messages": [
        {"role": "user", "content": "canary-user"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c0", "name": "get_weather", "input": {"city": "canary-past"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c0", "content": "canary-result"}]},
    ],
    "tools": [{"name": "get_weather", "description": "canary-tool", "input_schema": SCHEMA}],
    "stop_sequences": ["canary-stop"],
}


@dataclass(frozen=True)
class Case:
    """One API, whole or streamed: what is sent, and the answers: one with a tool call, one that says ``said``."""

    method: str
    request: dict[str, Any]
    stream: bool
    calling: Reply
    saying: Reply
    said: str
    failing: Reply

    def call(self, scene: Scene, reply: Reply, **changes: Any) -> None:
        """Call it, and read a stream to its end."""
        scene.provider.enqueue(reply)
        create: Any = getattr(scene, "anthropic" if self.method == "messages" else "openai")
        for name in self.method.split("."):
            create = getattr(create, name)
        streamed = {"stream": True} if self.stream else {}
        answer = create.create(**{**self.request, **streamed, **changes})
        if self.stream:
            list(answer)


_SAYS = "canary-answer"
CASES = {
    "chat": Case(
        "chat.completions",
        CHAT,
        False,
        openai_chat(tools=[CALLED]),
        openai_chat(_SAYS),
        _SAYS,
        openai_error(400, message="canary-error"),
    ),
    "chat-stream": Case(
        "chat.completions",
        CHAT,
        True,
        openai_chat_stream(tools=[CALLED]),
        openai_chat_stream(),
        "w0 w1 w2 ",
        openai_error(400, message="canary-error"),
    ),
    "responses": Case(
        "responses",
        RESPONSES,
        False,
        openai_responses(tools=[CALLED]),
        openai_responses(_SAYS),
        _SAYS,
        openai_error(400, message="canary-error"),
    ),
    "responses-stream": Case(
        "responses",
        RESPONSES,
        True,
        openai_responses_stream(tools=[CALLED]),
        openai_responses_stream(),
        "w0 w1 w2 ",
        openai_error(400, message="canary-error"),
    ),
    "messages": Case(
        "messages",
        MESSAGES,
        False,
        anthropic_message(tools=[CALLED]),
        anthropic_message(_SAYS),
        _SAYS,
        anthropic_error(400, message="canary-error"),
    ),
    "messages-stream": Case(
        "messages",
        MESSAGES,
        True,
        anthropic_message_stream(tools=[CALLED]),
        anthropic_message_stream(),
        "w w w ",
        anthropic_error(400, message="canary-error"),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def told(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content among ``attributes``, parsed: valid JSON or the test fails."""
    return {name: json.loads(str(value)) for name, value in (attributes or {}).items() if name in CONTENT}


@pytest.mark.parametrize("mode", [None, "NO_CONTENT", "false"])
def test_off_by_default_nothing_of_it_is_anywhere(
    mode: str | None, case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode is not None:
        monkeypatch.setenv(MODE, mode)
    with capture() as captured:
        case.call(scene, case.calling)
        case.call(scene, case.saying)
        with pytest.raises(Exception, match="canary-error"):
            case.call(scene, case.failing)
        assert len(captured.calls()) == 3
        left = everything(captured)
    assert {name for name, text in left.items() if "canary" in text} == set()
    assert not any(name in text for name in CONTENT for text in left.values())


@pytest.mark.parametrize(
    ("mode", "where"),
    [
        ("SPAN_ONLY", "spans"),
        ("span_only", "spans"),
        ("EVENT_ONLY", "events"),
        ("SPAN_AND_EVENT", "spans and events"),
        ("true", "spans and events"),
    ],
)
def test_each_mode_puts_it_where_it_says(
    mode: str, where: str, case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans, events = "spans" in where, "events" in where
    monkeypatch.setenv(MODE, mode)
    with capture() as captured:
        case.call(scene, case.calling)
        span, logs = captured.span(), captured.logs()
        left = everything(captured)
        lines = {line.event: line for line in captured.lines() if line.payload.get("kind") != "INTERNAL"}
    assert ("canary" in left["spans"]) == spans
    assert ("canary" in left["logs"]) == events
    assert "canary" not in left["metrics"]
    ended = lines[semconv.EVENT_SPAN_ENDED].payload["attributes"]
    assert told(ended) == told(span.attributes)
    assert bool(told(span.attributes)) == spans
    assert (semconv.EVENT_INFERENCE_DETAILS in lines) == events == bool(logs)
    if events:
        (log,) = logs
        detail = lines[semconv.EVENT_INFERENCE_DETAILS]
        assert log.event_name == semconv.EVENT_INFERENCE_DETAILS
        assert span.context is not None
        assert (log.trace_id, log.span_id) == (span.context.trace_id, span.context.span_id)
        assert detail.span_id == f"{span.context.span_id:016x}"
        assert told(detail.payload) == told(log.attributes) != {}
        assert log.attributes[semconv.REQUEST_MODEL] == case.request["model"]
        assert log.attributes.get(semconv.USAGE_INPUT_TOKENS) == (span.attributes or {}).get(semconv.USAGE_INPUT_TOKENS)


def content(case: Case, scene: Scene, reply: Reply, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """The content of one call's span."""
    monkeypatch.setenv(MODE, "SPAN_ONLY")
    with capture() as captured:
        case.call(scene, reply, **changes)
        return told(captured.span().attributes)


def test_the_shape_is_the_conventions(case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    found = content(case, scene, case.calling, monkeypatch)
    instructions = [{"type": "text", "content": "canary-system"}]
    messages = found[semconv.INPUT_MESSAGES]
    if case.method == "chat.completions":
        assert messages.pop(0) == {"role": "system", "parts": instructions}
        assert semconv.SYSTEM_INSTRUCTIONS not in found
    else:
        assert found[semconv.SYSTEM_INSTRUCTIONS] == instructions
    past = {"city": "canary-past"} if case.method == "messages" else "canary-past"
    asker = "user" if case.method == "messages" else "tool"
    assert messages == [
        {"role": "user", "parts": [{"type": "text", "content": "canary-user"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c0", "name": "get_weather", "arguments": past}]},
        {"role": asker, "parts": [{"type": "tool_call_response", "id": "c0", "response": "canary-result"}]},
    ]
    definition = {"type": "function", "name": "get_weather", "description": "canary-tool", "parameters": SCHEMA}
    assert found[semconv.TOOL_DEFINITIONS] == [definition]
    (answer,) = found[semconv.OUTPUT_MESSAGES]
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "tool_call")
    (call,) = [part for part in answer["parts"] if part["type"] == "tool_call"]
    arguments = call["arguments"] if isinstance(call["arguments"], dict) else json.loads(call["arguments"])
    assert (call["id"], call["name"], arguments) == ("call_9", "get_weather", {"city": "canary-arguments"})


def test_a_text_answer_is_told_whole_and_a_streams_pieces_joined(
    case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = content(case, scene, case.saying, monkeypatch)
    assert found[semconv.OUTPUT_MESSAGES] == [
        {"role": "assistant", "parts": [{"type": "text", "content": case.said}], "finish_reason": "stop"}
    ]


def test_stop_sequences_are_content(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["chat"]
    for mode, spans, events in (("SPAN_ONLY", True, False), ("EVENT_ONLY", False, True)):
        monkeypatch.setenv(MODE, mode)
        with capture() as captured:
            case.call(scene, case.saying)
            span, logs = captured.span(), captured.logs()
        assert ((span.attributes or {}).get(semconv.REQUEST_STOP_SEQUENCES) == ("canary-stop",)) == spans
        assert [log.attributes.get(semconv.REQUEST_STOP_SEQUENCES) for log in logs] == [("canary-stop",)] * events


# --- bounds, binary parts, secrets ----------------------------------------------------------------------------------


def turns(count: int, size: int, method: str) -> dict[str, Any]:
    """A conversation of ``count`` messages of ``size`` characters, some of them more than a byte."""
    messages = [{"role": ("user", "assistant")[turn % 2], "content": f"ü\u2603{turn} " * size} for turn in range(count)]
    return {"input": messages} if method == "responses" else {"messages": messages}


@pytest.mark.parametrize("limit", [200, 1000, 5000])
@pytest.mark.parametrize("shape", [(1, 50_000), (2, 20_000), (400, 100)])
def test_it_stays_within_the_limit_and_valid(
    limit: int, shape: tuple[int, int], case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_AGENT_CONTENT_LIMIT", str(limit))
    monkeypatch.setenv(MODE, "SPAN_AND_EVENT")
    with capture() as captured:
        case.call(scene, case.saying, **turns(*shape, case.method))
        places = [captured.span().attributes or {}, *(log.attributes for log in captured.logs())]
    for attributes in places:
        sizes = {name: len(str(attributes[name]).encode()) for name in CONTENT if name in attributes}
        assert all(size <= limit for size in sizes.values()), sizes
        assert told(attributes)[semconv.INPUT_MESSAGES] != []


IMAGE = "iVBORw0KGgo" * 40


def with_binaries(method: str) -> dict[str, Any]:
    """A request with an image and, where the API has it, a sound."""
    url = f"data:image/png;base64,{IMAGE}"
    if method == "messages":
        source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
        return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    if method == "responses":
        return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url, "detail": "auto"}]}]}
    sound = {"type": "input_audio", "input_audio": {"data": IMAGE, "format": "wav"}}
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}, sound]}]}


def test_images_and_sounds_are_a_digest_and_a_size(case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "SPAN_AND_EVENT")
    with capture() as captured:
        case.call(scene, case.saying, **with_binaries(case.method))
        parts = told(captured.span().attributes)[semconv.INPUT_MESSAGES][0]["parts"]
        left = everything(captured)
    assert [part["modality"] for part in parts] == ["image", "audio"][: 2 if case.method == "chat.completions" else 1]
    for part in parts:
        assert (part["type"], part["size"]) == ("blob", len(base64.b64decode(IMAGE)))
        assert part["sha256"] == hashlib.sha256(base64.b64decode(IMAGE)).hexdigest()
    assert parts[0]["mime_type"] == "image/png"
    assert not any("iVBOR" in text for text in left.values())


def test_secrets_in_it_are_redacted_also_where_it_is_cut(
    case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_AGENT_CONTENT_LIMIT", "4000")
    monkeypatch.setenv(MODE, "SPAN_AND_EVENT")
    # The cut, at 2048 characters, goes through the middle of each.
    texts = [f"{'a ' * (1024 - back)}{SECRET}{' b' * 9000}" for back in (4, 8, 16)]
    messages = [{"role": "user", "content": text} for text in texts]
    with capture() as captured:
        for message in messages:
            case.call(scene, case.saying, **{"input" if case.method == "responses" else "messages": [message]})
        left = everything(captured)
    assert "a a a" in left["spans"]
    assert {name for name, text in left.items() if SECRET[:12] in text} == set()
