# SPDX-License-Identifier: Apache-2.0
"""Answers in the shapes of OpenAI's API, which groq, azure and other compatible providers share.

Every function takes ``**fields`` that replace or add top-level keys of the body (of each chunk, in a stream), for
example ``model=``, ``id=`` or ``usage=``. Ids, times and texts are constant, so that a test can compare bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import sse
from .reply import Reply, json_reply, stream_reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODEL = "gpt-4o-mini-2024-07-18"
_CREATED = 1_760_000_000


@dataclass(frozen=True, slots=True)
class Tool:
    """A call of a tool that the model asks for; ``arguments`` is the JSON text that it wrote."""

    name: str = "get_weather"
    arguments: str = '{"city":"Paris"}'
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts as OpenAI means them: ``input`` is the total, cached and written ones included."""

    input: int = 11
    output: int = 7
    cached: int = 0
    reasoning: int = 0


TOKENS = Tokens()


def chat_usage(tokens: Tokens) -> dict[str, Any]:
    """Return the ``usage`` object of a chat completion."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
    }


def responses_usage(tokens: Tokens) -> dict[str, Any]:
    """Return the ``usage`` object of a response."""
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }


def _chat(kind: str) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": kind, "created": _CREATED, "model": MODEL}
    return {**head, "service_tier": "default", "system_fingerprint": "fp_1"}


def openai_chat(
    text: str | None = "Hello!", *, tools: Sequence[Tool] = (), tokens: Tokens | None = TOKENS, **fields: Any
) -> Reply:
    """Return a chat completion with one choice."""
    calls = [{"id": t.id, "type": "function", "function": {"name": t.name, "arguments": t.arguments}} for t in tools]
    message = {"role": "assistant", "content": None if tools else text, "refusal": None}
    choice = {
        "index": 0,
        "message": {**message, **({"tool_calls": calls} if calls else {})},
        "logprobs": None,
        "finish_reason": "tool_calls" if tools else "stop",
    }
    usage = {"usage": chat_usage(tokens)} if tokens else {}
    return json_reply({**_chat("chat.completion"), "choices": [choice], **usage, **fields})


def openai_chat_stream(
    n_chunks: int = 3, *, usage: bool = True, tools: Sequence[Tool] = (), tokens: Tokens = TOKENS, **fields: Any
) -> Reply:
    """Return a chat stream: the role, ``n_chunks`` of text or of arguments, the finish, and usage if asked for."""
    head = {**_chat("chat.completion.chunk"), **({"usage": None} if usage else {}), **fields}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse.encode({**head, "choices": [choice]})

    events = [chunk({"role": "assistant", "content": None if tools else ""})]
    events += [chunk(delta) for delta in _chat_deltas(n_chunks, tools)]
    events.append(chunk({}, "tool_calls" if tools else "stop"))
    if usage:
        events.append(sse.encode({**head, "choices": [], "usage": chat_usage(tokens)}))
    return stream_reply([*events, sse.DONE])


def _chat_deltas(n_chunks: int, tools: Sequence[Tool]) -> Iterator[dict[str, Any]]:
    for index, tool in enumerate(tools):
        opened = {"index": index, "id": tool.id, "type": "function", "function": {"name": tool.name, "arguments": ""}}
        yield {"tool_calls": [opened]}
        for piece in pieces(tool.arguments, n_chunks):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
    if not tools:
        for position in range(n_chunks):
            yield {"content": f"w{position} "}


def pieces(text: str, n: int) -> list[str]:
    """Cut ``text`` into at most ``n`` pieces that make it again."""
    size = max(1, -(-len(text) // max(1, n)))
    return [text[start : start + size] for start in range(0, len(text), size)]


def openai_completion(text: str = "Hello!", *, tokens: Tokens = TOKENS, **fields: Any) -> Reply:
    """Return a legacy text completion."""
    usage = {key: value for key, value in chat_usage(tokens).items() if not key.endswith("_details")}
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    head = {"id": "cmpl-1", "object": "text_completion", "created": _CREATED, "model": "gpt-3.5-turbo-instruct"}
    return json_reply({**head, "choices": [choice], "usage": usage, **fields})


def openai_completion_stream(n_chunks: int = 3, **fields: Any) -> Reply:
    """Return a stream of a legacy text completion, which has no usage."""
    head = {"id": "cmpl-1", "object": "text_completion", "created": _CREATED, "model": "gpt-3.5-turbo-instruct"}
    finish = [*[None] * n_chunks, "stop"]
    events = [
        sse.encode({**head, "choices": [{"text": "w ", "index": 0, "logprobs": None, "finish_reason": word}], **fields})
        for word in finish
    ]
    return stream_reply([*events, sse.DONE])


def openai_embeddings(n: int = 1, *, dimensions: int = 8, tokens: int = 5, **fields: Any) -> Reply:
    """Return ``n`` embeddings as lists of floats."""
    data = [{"object": "embedding", "index": i, "embedding": [0.5] * dimensions} for i in range(n)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage, **fields})


def openai_error(
    status: int, *, retry_after: float | None = None, message: str = "No.", code: str | None = None
) -> Reply:
    """Return an API error; ``retry_after`` in seconds becomes both of the headers that the clients read."""
    kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error"}
    error = {"message": message, "type": kinds.get(status, "invalid_request_error"), "param": None, "code": code}
    return json_reply({"error": error}, status=status, headers=retry_headers(retry_after))


def retry_headers(seconds: float | None) -> dict[str, str]:
    """Return the headers that tell a client how long to wait before it tries again, and a request's id."""
    head = {"x-request-id": "req_1", "request-id": "req_1"}
    if seconds is None:
        return head
    return {**head, "retry-after-ms": str(round(seconds * 1000)), "Retry-After": str(round(seconds))}


def cut_by_error(reply: Reply, after: int, error: bytes | None = None) -> Reply:
    """Return a stream that sends ``after`` chunks, then an error event, and ends; OpenAI's unless another is given."""
    body = reply.body if isinstance(reply.body, tuple) else (reply.body,)
    failed = sse.encode({"error": {"message": "The server had an error.", "type": "server_error", "code": None}})
    return reply.but(body=(*body[:after], error or failed))
