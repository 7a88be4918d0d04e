# SPDX-License-Identifier: Apache-2.0
"""A provider on 127.0.0.1 for the self-test: one short answer for each API, whole or streamed, of one usage."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator

MODEL: Final = "doctor-self-test"
INPUT, OUTPUT = 11, 7

_USAGE: Final = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
_USAGE_2: Final = {
    "input_tokens": INPUT,
    "output_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
_BASE: Final = {"id": "chatcmpl-1", "created": 1, "model": MODEL}
_RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": MODEL,
    "usage": _USAGE_2,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        }
    ],
}
_MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "stop_sequence": None,
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT},
}

WHOLE: Final[dict[str, dict[str, Any]]] = {
    "/chat/completions": {
        **_BASE,
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
        "usage": _USAGE,
    },
    "/completions": {
        **_BASE,
        "object": "text_completion",
        "choices": [{"index": 0, "finish_reason": "stop", "text": "ok", "logprobs": None}],
        "usage": _USAGE,
    },
    "/embeddings": {
        "object": "list",
        "model": MODEL,
        "usage": {"prompt_tokens": INPUT, "total_tokens": INPUT},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0]}],
    },
    "/responses": _RESPONSE,
    "/v1/messages": _MESSAGE,
}
"""Path's end to answer; the first that fits counts."""

_CHUNK: Final = {**_BASE, "object": "chat.completion.chunk"}
_DELTA: Final[dict[str, Any]] = {"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": "ok"}}
_LAST: Final[dict[str, Any]] = {"index": 0, "finish_reason": "stop", "delta": {}}

STREAMED: Final[dict[str, list[dict[str, Any]]]] = {
    "/chat/completions": [
        {**_CHUNK, "choices": [_DELTA]},
        {**_CHUNK, "choices": [_LAST]},
        {**_CHUNK, "choices": [], "usage": _USAGE},
    ],
    "/responses": [
        {
            "type": "response.created",
            "sequence_number": 0,
            "response": {**_RESPONSE, "status": "in_progress", "usage": None},
        },
        {"type": "response.completed", "sequence_number": 1, "response": _RESPONSE},
    ],
    "/v1/messages": [
        {
            "type": "message_start",
            "message": {
                **_MESSAGE,
                "content": [],
                "stop_reason": None,
                "usage": {"input_tokens": INPUT, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": OUTPUT},
        },
        {"type": "message_stop"},
    ],
}


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        streamed = bool(body.get("stream"))
        table: dict[str, Any] = STREAMED if streamed else WHOLE
        found = next((answer for end, answer in table.items() if path.endswith(end)), None)
        data = _events(found) if streamed and found else json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


def _events(items: list[dict[str, Any]]) -> bytes:
    typed = "type" in items[0]  # OpenAI's chat is untyped, and ends with a mark of its own
    lines = [(f"event: {item['type']}\n" if typed else "") + f"data: {json.dumps(item)}\n\n" for item in items]
    return "".join([*lines, "" if typed else "data: [DONE]\n\n"]).encode()


@contextmanager
def responder() -> Generator[str]:
    """Serve on a free port of 127.0.0.1; gives the URL. Raises ``OSError`` where no port can be had."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="otel-agent-doctor", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
