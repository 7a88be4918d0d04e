# SPDX-License-Identifier: Apache-2.0
"""Reading runs out of spans, and the agents that tests of runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clients import ASK, ASK_CLAUDE, ASK_RESPONSES
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.provider import Tool, anthropic_message, openai_chat, openai_responses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan

    from clients import Scene

TURNS = 3


def of(span: ReadableSpan, name: str) -> Any:
    """An attribute of a span."""
    return (span.attributes or {}).get(name)


def roots(spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    """The `invoke_agent` spans, in the order of their end."""
    return [span for span in spans if of(span, semconv.OPERATION_NAME) == semconv.INVOKE_AGENT]


def calls(spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    """The spans of model calls, by their start."""
    return sorted((span for span in spans if of(span, semconv.PROVIDER_NAME)), key=lambda span: span.start_time or 0)


def cycles(spans: Iterable[ReadableSpan]) -> list[int]:
    """The cycles of the model calls, by their start."""
    return [of(span, semconv.CYCLE) for span in calls(spans)]


def run_ids(spans: Iterable[ReadableSpan]) -> set[str | None]:
    """The run ids on the spans."""
    return {of(span, semconv.RUN_ID) for span in spans}


def span_id(span: ReadableSpan) -> int:
    """A span's id."""
    assert span.context is not None
    return span.context.span_id


def trace_ids(spans: Iterable[ReadableSpan]) -> set[int]:
    """The traces of the spans."""
    return {span.context.trace_id for span in spans if span.context is not None}


def below(root: ReadableSpan, spans: Iterable[ReadableSpan]) -> bool:
    """Whether every span is a child of ``root``, in its trace."""
    return all(span.parent is not None and span.parent.span_id == span_id(root) for span in spans) and (
        trace_ids([*spans]) == trace_ids([root])
    )


def one_tree(spans: Iterable[ReadableSpan]) -> ReadableSpan:
    """The root of spans that are one run's: one `invoke_agent`, all calls below it, one run id."""
    spans = list(spans)
    (root,) = roots(spans)
    assert root.parent is None
    assert below(root, calls(spans))
    assert run_ids(spans) == {of(root, semconv.RUN_ID)}
    return root


# --- agents that know nothing of us ----------------------------------------------------------------------------------


def chat_agent(scene: Scene, tag: str = "", turns: int = TURNS) -> None:
    """Ask, run the tool that the model wants, answer, until it wants none."""
    ids = [f"call_{tag}{turn}" for turn in range(turns - 1)]
    scene.provider.enqueue(*(openai_chat(tools=[Tool(id=one)]) for one in ids), openai_chat("Sunny."))
    messages: list[Any] = list(ASK["messages"])
    for _ in range(turns):
        message = scene.openai.chat.completions.create(model="gpt-5", messages=messages).choices[0].message
        messages.append(message)
        asked = message.tool_calls or ()
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "21 degrees"} for call in asked]


def responses_agent(scene: Scene, tag: str = "", turns: int = TURNS) -> None:
    """The same over the Responses API, which remembers: a turn sends only what is new."""
    ids = [f"call_{tag}{turn}" for turn in range(turns - 1)]
    answers = [openai_responses(tools=[Tool(id=one)], id=f"resp_{one}") for one in ids]
    scene.provider.enqueue(*answers, openai_responses("Sunny.", id=f"resp_{tag}last"))
    sent: dict[str, Any] = ASK_RESPONSES
    for _ in range(turns):
        response = scene.openai.responses.create(**sent)
        results = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "21 degrees"}
            for item in response.output
            if item.type == "function_call"
        ]
        sent = {"model": "gpt-5", "previous_response_id": response.id, "input": results}


def messages_agent(scene: Scene, tag: str = "", turns: int = TURNS) -> None:
    """The same over Anthropic's Messages API."""
    ids = [f"toolu_{tag}{turn}" for turn in range(turns - 1)]
    scene.provider.enqueue(*(anthropic_message(tools=[Tool(id=one)]) for one in ids), anthropic_message("Sunny."))
    messages: list[Any] = list(ASK_CLAUDE["messages"])
    for _ in range(turns):
        answer = scene.anthropic.messages.create(**{**ASK_CLAUDE, "messages": messages})
        messages.append({"role": "assistant", "content": answer.content})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "21 degrees"}
            for block in answer.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})


AGENTS = (chat_agent, responses_agent, messages_agent)
