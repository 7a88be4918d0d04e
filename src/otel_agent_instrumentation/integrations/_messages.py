# SPDX-License-Identifier: Apache-2.0
"""Anthropic's Messages API: `POST /v1/messages`, beta included.

Reference: https://docs.anthropic.com/en/api/messages. Its `input_tokens` leave out what the cache gave or took; the
convention's input is the total (contracts 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import semconv
from ..core.media import blob, file_part, text_blob
from ..core.spec import Api, Content, Request, Response, ToolCall, Usage
from ._chat_content import text_part
from ._read import count, get, index, items, mark, parameters, text

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = (int, float)
_PARAMETERS: Mapping[str, tuple[str, Any]] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, _NUMBER),
    "top_p": (semconv.REQUEST_TOP_P, _NUMBER),
    "top_k": (semconv.REQUEST_TOP_K, int),
    "max_tokens": (semconv.REQUEST_MAX_TOKENS, int),
    "stop_sequences": (semconv.REQUEST_STOP_SEQUENCES, list),
}
_CALLS = frozenset({"tool_use"})
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def _read_request(body: Any, request: Request) -> None:
    request.model = text(body.get("model"))
    request.params = parameters(body, _PARAMETERS)
    effort = text(get(body.get("output_config"), "effort"))
    if effort:
        request.params[semconv.REQUEST_REASONING_LEVEL] = effort
    formats = (get(body.get("output_config"), "format"), body.get("output_format"))
    if any(get(item, "type") == "json_schema" for item in formats):
        request.params[semconv.OUTPUT_TYPE] = "json"
    if body.get("stream") is True:
        request.stream = True
    messages = items(body.get("messages"))
    request.tools = body.get("tools")
    request.mark = mark(messages)
    results: list[Any] = []
    for message in reversed(list(messages)):
        if get(message, "role") != "user":
            break
        results += [block for block in items(get(message, "content")) if get(block, "type") == "tool_result"]
    if results:
        request.answers = [str(get(block, "tool_use_id")) for block in results]
        request.failed = [str(get(block, "tool_use_id")) for block in results if get(block, "is_error") is True]


def _usage(counts: Mapping[str, int | None], reasoning: int | None) -> Usage:
    fresh, read, write = (
        counts["input_tokens"],
        counts["cache_read_input_tokens"],
        counts["cache_creation_input_tokens"],
    )
    total = None if fresh is None else fresh + (read or 0) + (write or 0)
    return Usage(input=total, output=counts["output_tokens"], cache_read=read, cache_write=write, reasoning=reasoning)


def _reasoning(usage: Any) -> int | None:
    return count(get(get(usage, "output_tokens_details"), "thinking_tokens"))


def _finish(reason: Any) -> list[str]:
    told = text(reason)
    return [semconv.finish_reason(told)] if told is not None else []


def read_response(node: Any) -> Response:
    """The facts of a message."""
    usage = get(node, "usage")
    return Response(
        id=text(get(node, "id")),
        model=text(get(node, "model")),
        finish_reasons=_finish(get(node, "stop_reason")),
        usage=None if usage is None else _usage({key: count(get(usage, key)) for key in _COUNTS}, _reasoning(usage)),
        tool_calls=[
            ToolCall(text(get(block, "id")), text(get(block, "name")), get(block, "input"))
            for block in items(get(node, "content"))
            if text(get(block, "type")) in _CALLS
        ],
        output=node,
    )


class EventAccumulator:
    """Gathers the events of a message stream. Counts in `message_delta` are totals that replace earlier ones."""

    def __init__(self, keep_content: bool) -> None:  # noqa: FBT001 - the Api's factory signature
        self._id: str | None = None
        self._model: str | None = None
        self._reason: Any = None
        self._counts: dict[str, int | None] | None = None
        self._reasoning: int | None = None
        self._calls: list[ToolCall] = []
        self._inputs: dict[int, list[str]] = {}
        """The pieces of the tool calls' arguments, by the index of their block."""
        self._blocks: dict[int, dict[str, Any]] | None = {} if keep_content else None
        self.complete = False

    def add(self, event: Any) -> None:
        """Take one event."""
        kind = get(event, "type")
        if kind == "content_block_delta":
            if self._inputs:
                self._input(index(event), get(get(event, "delta"), "partial_json"))
            if self._blocks is not None:
                self._delta(index(event), get(event, "delta"))
        elif kind == "message_start":
            message = get(event, "message")
            self._id, self._model = text(get(message, "id")), text(get(message, "model"))
            self._count(get(message, "usage"))
        elif kind == "message_delta":
            self._reason = get(get(event, "delta"), "stop_reason") or self._reason
            self._count(get(event, "usage"))
        elif kind == "content_block_start":
            block = get(event, "content_block")
            if text(get(block, "type")) in _CALLS:
                pieces = self._inputs[index(event)] = []
                self._calls.append(ToolCall(text(get(block, "id")), text(get(block, "name")), pieces))
            if self._blocks is not None:
                self._blocks[index(event)] = _opened(block)
        elif kind == "message_stop":
            self.complete = True

    def _input(self, index: int, piece: Any) -> None:
        pieces = self._inputs.get(index)
        if pieces is not None and isinstance(piece, str):
            pieces.append(piece)

    def _count(self, usage: Any) -> None:
        if usage is None:
            return
        counts = self._counts or dict.fromkeys(_COUNTS)
        for key in _COUNTS:
            told = count(get(usage, key))
            if told is not None:
                counts[key] = told
        self._counts = counts
        reasoning = _reasoning(usage)
        if reasoning is not None:
            self._reasoning = reasoning

    def _delta(self, index: int, delta: Any) -> None:
        block = (self._blocks or {}).get(index)
        if block is None:
            return
        for key in ("text", "thinking", "partial_json"):
            piece = get(delta, key)
            if isinstance(piece, str):
                block["pieces"].append(piece)

    def response(self) -> Response:
        """What was seen so far."""
        output = None
        if self._blocks is not None:
            output = {
                "content": [_closed(block) for _, block in sorted(self._blocks.items())],
                "stop_reason": self._reason,
            }
        return Response(
            id=self._id,
            model=self._model,
            finish_reasons=_finish(self._reason),
            usage=None if self._counts is None else _usage(self._counts, self._reasoning),
            tool_calls=[ToolCall(call.id, call.name, "".join(call.arguments)) for call in self._calls],
            output=output,
        )


def _opened(block: Any) -> dict[str, Any]:
    kind = get(block, "type")
    first = get(block, "text") or get(block, "thinking")
    pieces = [first] if isinstance(first, str) and first else []
    return {"type": kind, "id": get(block, "id"), "name": get(block, "name"), "pieces": pieces}


def _closed(block: dict[str, Any]) -> dict[str, Any]:
    told = "".join(block["pieces"])
    key = {"tool_use": "input", "thinking": "thinking"}.get(str(block["type"]), "text")
    return {"type": block["type"], "id": block["id"], "name": block["name"], key: told}


def _part(block: Any) -> dict[str, Any]:  # noqa: PLR0911 - one a kind
    kind = str(get(block, "type"))
    if kind == "text":
        return text_part(get(block, "text"))
    if kind == "thinking":
        return {"type": "reasoning", "content": get(block, "thinking")}
    if kind.endswith("tool_use"):
        return {
            "type": "tool_call",
            "id": get(block, "id"),
            "name": get(block, "name"),
            "arguments": get(block, "input"),
        }
    if kind.endswith("tool_result"):
        told = get(block, "content")
        blocks = items(told) if isinstance(told, (list, tuple)) else [told]  # a server's tool answers with one
        answer = told if told is None or isinstance(told, str) else [_part(item) for item in blocks]
        return {"type": "tool_call_response", "id": get(block, "tool_use_id"), "response": answer}
    if kind in {"image", "document"}:
        return _file(kind, get(block, "source"))
    if kind == "web_fetch_result":
        return {"type": kind, "url": get(block, "url"), "content": _part(get(block, "content"))}
    if kind == "search_result":
        return {"type": kind, "title": get(block, "title"), "content": _parts(get(block, "content"))}
    return {"type": kind}


def _file(kind: str, source: Any) -> dict[str, Any]:
    """An image or a document: base64, a text, blocks of text and images, a URL, or the id of an uploaded file."""
    held, media_type = get(source, "data"), get(source, "media_type")
    if get(source, "type") == "text":
        return text_blob(kind, held, media_type)
    if held is not None:
        return blob(kind, held, media_type)
    within = get(source, "content")
    if within is not None:
        return {"type": kind, "content": _parts(within)}
    return file_part(kind, None, get(source, "url"), get(source, "file_id"))


def _parts(content: Any) -> list[dict[str, Any]]:
    return [text_part(content)] if isinstance(content, str) else [_part(block) for block in items(content)]


def read_content(request: Request, response: Response | None) -> Content:
    """The content of a message call."""
    body = request.body
    messages = [
        {"role": str(get(item, "role")), "parts": _parts(get(item, "content"))} for item in items(get(body, "messages"))
    ]
    parts = _parts(get(response.output, "content")) if response is not None else []
    reason = response.finish_reasons[0] if response and response.finish_reasons else ""
    keys = {"name": "name", "description": "description", "input_schema": "parameters"}
    tools = [
        {"type": "function", **{keys[key]: get(tool, key) for key in keys if get(tool, key) is not None}}
        for tool in items(get(body, "tools"))
    ]
    return Content(
        input=messages,
        output=[{"role": "assistant", "parts": parts, "finish_reason": reason}] if parts else [],
        system=_parts(get(body, "system")) if get(body, "system") is not None else [],
        tools=tools,
    )


MESSAGES = Api(semconv.CHAT, _read_request, read_response, EventAccumulator, read_content, dialect="messages")
