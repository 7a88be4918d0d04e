# SPDX-License-Identifier: Apache-2.0
"""The oracle for telemetry: what a recorded body itself says of model, finish, tokens and failure.

It reads bodies in the plainest way and shares no code with the instrumentation, so that the two can disagree. The rules
are those of the contracts, section 7: words of the convention, Anthropic's input as a total, absent is None and not 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import sse

if TYPE_CHECKING:
    from .traffic import Exchange

_OPERATIONS = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "embeddings": "embeddings",
    "completions": "text_completion",
}
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_call",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
}
_Document = dict[str, Any]


# What the caller is asked to run; a hosted tool's call is run by the provider and asks for nothing.
_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call")


@dataclass(frozen=True, slots=True)
class Truth:
    """What the body says. ``operation`` is None on a path that is no model call; ``error`` if the caller gets one.

    ``input_tokens`` is the total, cached and written ones included. ``finish_reasons`` has one entry for each choice
    that finished, by index.
    """

    operation: str | None
    model: str | None = None
    id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    error: bool = False


def truth(exchange: Exchange) -> Truth:
    """Return what the exchange's body says, from the body and the status alone."""
    kind = exchange.kind
    operation = _OPERATIONS.get(kind or "")
    if kind is None or exchange.status >= 400:  # noqa: PLR2004 - HTTP's own border
        return Truth(operation, error=exchange.status >= 400)  # noqa: PLR2004 - as above
    if exchange.is_sse:
        events = sse.documents(exchange.body)
        documents = [document for _, document in events]
        failed = any(name == "error" or document.get("error") for name, document in events)
    else:
        documents, failed = [json.loads(exchange.body)], False
    read = {"messages": _messages, "responses": _responses}.get(kind, _choices)
    return read(Truth(operation, error=failed), documents)


def _choices(base: Truth, documents: list[_Document]) -> Truth:
    finishes: dict[int, str] = {}
    for document in documents:
        for choice in _list(document, "choices"):
            if choice.get("finish_reason"):
                finishes[choice.get("index", 0)] = choice["finish_reason"]
    usage: _Document = _last(documents, "usage") or _part(_last(documents, "x_groq") or {}, "usage")
    read, written = _part(usage, "prompt_tokens_details"), _part(usage, "completion_tokens_details")
    cached = read.get("cached_tokens")
    return Truth(
        operation=base.operation,
        model=_first(documents, "model"),
        id=_first(documents, "id"),
        finish_reasons=_words(*(finishes[index] for index in sorted(finishes))),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        # DeepSeek had its own name for it before it took OpenAI's over.
        cached_tokens=usage.get("prompt_cache_hit_tokens") if cached is None else cached,
        cache_write_tokens=read.get("cache_write_tokens"),
        reasoning_tokens=written.get("reasoning_tokens"),
        error=base.error,
    )


def _responses(base: Truth, documents: list[_Document]) -> Truth:
    # Each event of a stream that has a response has all that is known of it; the last one is final.
    response: _Document = _last(documents, "response") or documents[-1]
    usage = _part(response, "usage")
    read, written = _part(usage, "input_tokens_details"), _part(usage, "output_tokens_details")
    return Truth(
        operation=base.operation,
        model=response.get("model"),
        id=response.get("id"),
        finish_reasons=_response_finish(response),
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cached_tokens=read.get("cached_tokens"),
        cache_write_tokens=read.get("cache_write_tokens"),
        reasoning_tokens=written.get("reasoning_tokens"),
        error=base.error,
    )


def _response_finish(response: _Document) -> tuple[str, ...]:
    status = response.get("status")
    if status == "completed":
        called = any(item.get("type") in _CALLS for item in _list(response, "output"))
        return ("tool_call",) if called else ("stop",)
    if status == "incomplete":
        return _words(_part(response, "incomplete_details").get("reason"))
    return ("error",) if status == "failed" else ()


def _messages(base: Truth, documents: list[_Document]) -> Truth:
    # Whole: the document is the message. Streamed: message_start has it, message_delta its end and newer counts.
    message: _Document = _first(documents, "message") or documents[0]
    stop = message.get("stop_reason")
    usage = {**_part(message, "usage")}
    for document in documents:
        if document.get("type") == "message_delta":
            stop = _part(document, "delta").get("stop_reason") or stop
            usage |= {name: count for name, count in _part(document, "usage").items() if count is not None}
    fresh, read, written = (
        usage.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    return Truth(
        operation=base.operation,
        model=message.get("model"),
        id=message.get("id"),
        finish_reasons=_words(stop),
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=usage.get("output_tokens"),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=_part(usage, "output_tokens_details").get("thinking_tokens"),
        error=base.error,
    )


def _words(*reasons: str | None) -> tuple[str, ...]:
    return tuple(_FINISH.get(reason, reason) for reason in reasons if reason)


def _part(document: _Document, key: str) -> _Document:
    return document.get(key) or {}


def _list(document: _Document, key: str) -> list[_Document]:
    return document.get(key) or []


def _first(documents: list[_Document], key: str) -> Any:
    return next((document[key] for document in documents if document.get(key)), None)


def _last(documents: list[_Document], key: str) -> Any:
    return _first(documents[::-1], key)
