# SPDX-License-Identifier: Apache-2.0
"""Answers in the shape of OpenAI's Responses API, whole and as a stream of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import sse
from .openai_bodies import MODEL, TOKENS, Tokens, Tool, pieces, responses_usage
from .reply import Reply, json_reply, stream_reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Event = dict[str, Any]


def _response(output: list[_Event], usage: _Event | None, fields: _Event) -> _Event:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed" if usage else "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        **fields,
    }


def _message(text: str, status: str = "completed") -> _Event:
    content: list[_Event] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}] if text else []
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content}


def _call(position: int, tool: Tool, arguments: str, status: str = "completed") -> _Event:
    head = {"id": f"fc_{position}", "type": "function_call", "status": status}
    return {**head, "call_id": tool.id, "name": tool.name, "arguments": arguments}


def openai_responses(
    text: str = "Hello!", *, tools: Sequence[Tool] = (), tokens: Tokens = TOKENS, **fields: Any
) -> Reply:
    """Return a completed response: a message, or the calls of ``tools``; ``fields`` replace keys of the body."""
    calls = [_call(position, tool, tool.arguments) for position, tool in enumerate(tools)]
    return json_reply(_response(calls or [_message(text)], responses_usage(tokens), fields))


def openai_responses_stream(
    n_chunks: int = 3, *, tools: Sequence[Tool] = (), tokens: Tokens = TOKENS, **fields: Any
) -> Reply:
    """Return the events of a response: created, each item with ``n_chunks`` deltas, completed."""
    text = "".join(f"w{position} " for position in range(n_chunks))
    output = [_call(i, tool, tool.arguments) for i, tool in enumerate(tools)] or [_message(text)]
    opened = {key: value for key, value in fields.items() if key != "status"}
    events: list[_Event] = [
        {"type": "response.created", "response": _response([], None, opened)},
        {"type": "response.in_progress", "response": _response([], None, opened)},
    ]
    for position, tool in enumerate(tools):
        events += _call_events(position, tool, n_chunks)
    if not tools:
        events += _text_events(text, n_chunks)
    final = _response(output, responses_usage(tokens), fields)
    events.append({"type": f"response.{final['status']}", "response": final})
    numbered: Iterator[_Event] = ({**event, "sequence_number": number} for number, event in enumerate(events))
    return stream_reply(sse.encode(event, event=event["type"]) for event in numbered)


def _text_events(text: str, n_chunks: int) -> Iterator[_Event]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part: _Event = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": _message("", "in_progress")}
    yield {"type": "response.content_part.added", **place, "part": part}
    for piece in text.split(" ")[:n_chunks]:
        yield {"type": "response.output_text.delta", **place, "delta": f"{piece} ", "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": {**part, "text": text}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": _message(text)}


def _call_events(position: int, tool: Tool, n_chunks: int) -> Iterator[_Event]:
    place = {"item_id": f"fc_{position}", "output_index": position}
    kind = "response.function_call_arguments"
    opened = _call(position, tool, "", "in_progress")
    yield {"type": "response.output_item.added", "output_index": position, "item": opened}
    for piece in pieces(tool.arguments, n_chunks):
        yield {"type": f"{kind}.delta", **place, "delta": piece}
    yield {"type": f"{kind}.done", **place, "name": tool.name, "arguments": tool.arguments}
    yield {
        "type": "response.output_item.done",
        "output_index": position,
        "item": _call(position, tool, tool.arguments),
    }
