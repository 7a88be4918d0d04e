# SPDX-License-Identifier: Apache-2.0
"""Answers in the shapes of Anthropic's Messages API, and the same events in the frames of AWS Bedrock.

``**fields`` replace or add keys of the message. Ids and texts are constant, so that a test can compare bytes.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import sse
from .openai_bodies import Tool, pieces, retry_headers
from .reply import Reply, json_reply, stream_reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CLAUDE = "claude-sonnet-4-5-20250929"
_HEADER_TYPE_STRING = 7
_Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClaudeTokens:
    """Token counts as Anthropic means them: ``input`` is without what was read from or written to the cache."""

    input: int = 11
    output: int = 7
    cache_read: int = 0
    cache_creation: int = 0


CLAUDE_TOKENS = ClaudeTokens()


def anthropic_usage(tokens: ClaudeTokens) -> _Event:
    """Return the ``usage`` object of a message."""
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_creation,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }


def _message(content: list[_Event], stop: str | None, usage: _Event) -> _Event:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE}
    return {**head, "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def _content(text: str, tools: Sequence[Tool]) -> list[_Event]:
    calls = [{"type": "tool_use", "id": t.id, "name": t.name, "input": json.loads(t.arguments)} for t in tools]
    return [{"type": "text", "text": text}, *calls]


def anthropic_message(
    text: str = "Hello!", *, tools: Sequence[Tool] = (), tokens: ClaudeTokens = CLAUDE_TOKENS, **fields: Any
) -> Reply:
    """Return a message: a text, then the uses of ``tools``."""
    message = _message(_content(text, tools), "tool_use" if tools else "end_turn", anthropic_usage(tokens))
    return json_reply({**message, **fields}, headers=retry_headers(None))


def anthropic_events(
    n_chunks: int = 3, *, tools: Sequence[Tool] = (), tokens: ClaudeTokens = CLAUDE_TOKENS, **fields: Any
) -> list[_Event]:
    """Return the events of a message's stream; the output tokens of the start are 1, as the provider sends them."""
    started = _message([], None, {**anthropic_usage(tokens), "output_tokens": 1})
    events: list[_Event] = [{"type": "message_start", "message": {**started, **fields}}]
    events += _block(0, {"type": "text", "text": ""}, ({"type": "text_delta", "text": "w "} for _ in range(n_chunks)))
    for index, tool in enumerate(tools, start=1):
        deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(tool.arguments, n_chunks))
        events += _block(index, {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}}, deltas)
    delta = {"stop_reason": fields.get("stop_reason") or ("tool_use" if tools else "end_turn"), "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens.output}})
    return [*events, {"type": "message_stop"}]


def _block(index: int, opened: _Event, deltas: Iterator[_Event]) -> Iterator[_Event]:
    yield {"type": "content_block_start", "index": index, "content_block": opened}
    if not index:
        yield {"type": "ping"}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def anthropic_message_stream(n_chunks: int = 3, **options: Any) -> Reply:
    """Return a message as server-sent events; ``options`` as for `anthropic_events`."""
    return stream_reply(sse.encode(event, event=event["type"]) for event in anthropic_events(n_chunks, **options))


def anthropic_bedrock_stream(n_chunks: int = 3, **options: Any) -> Reply:
    """Return a message as Bedrock streams it: each event in base64 in a frame of AWS' event stream."""
    frames = (_bedrock_frame(event) for event in anthropic_events(n_chunks, **options))
    return stream_reply(frames, "application/vnd.amazon.eventstream")


def _bedrock_frame(event: _Event) -> bytes:
    inner = json.dumps(event, separators=(",", ":")).encode()
    payload = json.dumps({"bytes": base64.b64encode(inner).decode()}, separators=(",", ":")).encode()
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return eventstream_frame(headers, payload)


def eventstream_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one frame: lengths, their CRC, headers, payload, and the CRC of all that."""
    packed = b"".join(_eventstream_header(name.encode(), value.encode()) for name, value in headers.items())
    total = 16 + len(packed) + len(payload)
    prelude = struct.pack(">II", total, len(packed))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return body + struct.pack(">I", zlib.crc32(body))


def _eventstream_header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", _HEADER_TYPE_STRING, len(value)) + value


def split_frames(stream: bytes) -> list[bytes]:
    """Cut an AWS event stream into its frames, losing no byte."""
    frames: list[bytes] = []
    while len(stream) >= 16:  # noqa: PLR2004 - the least length of a frame
        size = struct.unpack(">I", stream[:4])[0]
        frames.append(stream[:size])
        stream = stream[size:]
    return [*frames, stream] if stream else frames


def anthropic_error(status: int, *, retry_after: float | None = None, message: str = "No.") -> Reply:
    """Return an API error; ``retry_after`` in seconds becomes both of the headers that the client reads."""
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 500: "api_error"}
    error = {"type": kinds.get(status, "invalid_request_error"), "message": message}
    document = {"type": "error", "error": error, "request_id": "req_1"}
    return json_reply(document, status=status, headers=retry_headers(retry_after))


def anthropic_error_event(kind: str = "overloaded_error", message: str = "Overloaded") -> bytes:
    """Return the event that breaks a stream off, for `openai_bodies.cut_by_error`."""
    return sse.encode({"type": "error", "error": {"type": kind, "message": message}}, event="error")
