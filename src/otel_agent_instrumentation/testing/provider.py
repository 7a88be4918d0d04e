# SPDX-License-Identifier: Apache-2.0
"""A fake LLM provider on loopback for real clients: scripted answers in, byte-exact requests out.

In a test: ``with Provider() as provider: OpenAI(base_url=provider.url + "/v1", api_key="k")``. As a process of its
own, for a test that needs the provider outside: ``python -m otel_agent_instrumentation.testing.provider --port 0``
prints its address and answers every known path; ``GET /-/requests`` there returns what it received.
"""

from __future__ import annotations

import argparse
import base64
import signal
import sys
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from .anthropic_bodies import (
    ClaudeTokens,
    anthropic_bedrock_stream,
    anthropic_error,
    anthropic_error_event,
    anthropic_message,
    anthropic_message_stream,
)
from .loopback import Connection, Loopback, Received
from .openai_bodies import (
    Tokens,
    Tool,
    cut_by_error,
    openai_chat,
    openai_chat_stream,
    openai_completion,
    openai_completion_stream,
    openai_embeddings,
    openai_error,
)
from .reply import BEFORE_HEAD, Reply, json_reply, serve, stream_reply
from .responses_bodies import openai_responses, openai_responses_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Self

__all__ = [
    "BEFORE_HEAD",
    "ClaudeTokens",
    "Provider",
    "Received",
    "Reply",
    "Tokens",
    "Tool",
    "anthropic_bedrock_stream",
    "anthropic_error",
    "anthropic_error_event",
    "anthropic_message",
    "anthropic_message_stream",
    "by_path",
    "cut_by_error",
    "json_reply",
    "openai_chat",
    "openai_chat_stream",
    "openai_completion",
    "openai_completion_stream",
    "openai_embeddings",
    "openai_error",
    "openai_responses",
    "openai_responses_stream",
    "stream_reply",
]


class Provider:
    """A provider on 127.0.0.1. A queued reply goes first, then ``reply`` if set, else what ``route`` returns.

    Safe to use from many threads. ``reply`` may be set at any time and stays until it is set to None.
    """

    def __init__(self, route: Callable[[Received], Reply] | None = None, *, port: int = 0) -> None:
        self._route = route or by_path
        self._queue: deque[Reply] = deque()
        self._received: list[Received] = []
        self._arrived = threading.Condition()
        self._server = Loopback(self._answer, port=port)
        self.reply: Reply | None = None

    @property
    def url(self) -> str:
        """The address without a trailing slash; OpenAI's client wants ``/v1`` behind it."""
        return self._server.url

    @property
    def requests(self) -> list[Received]:
        """What was received so far, in order of arrival. A copy."""
        with self._arrived:
            return list(self._received)

    @property
    def disconnects(self) -> int:
        """How many answers were cut short because the client closed."""
        return self._server.disconnects

    def enqueue(self, *replies: Reply) -> None:
        """Answer the next requests with these, once each."""
        self._queue.extend(replies)

    def clear(self) -> None:
        """Forget what was received and what was queued."""
        with self._arrived:
            self._received.clear()
        self._queue.clear()

    def wait_for(self, count: int, timeout: float = 5.0) -> bool:
        """Wait until ``count`` requests have arrived in all; returns whether they did within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            while len(self._received) < count:
                if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                    return False
        return True

    def close(self) -> None:
        """Stop, dropping whatever is still being answered."""
        self._server.close()

    def __enter__(self) -> Self:
        self._server.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, connection: Connection, received: Received) -> None:
        if received.path == "/-/requests":
            serve(json_reply([_as_json(request) for request in self.requests]), connection)
            return
        with self._arrived:
            self._received.append(received)
            self._arrived.notify_all()
        try:
            reply = self._queue.popleft()
        except IndexError:
            reply = self.reply or self._route(received)
        serve(reply, connection)


def by_path(received: Received, *, n_chunks: int = 3) -> Reply:
    """Answer as the provider of that path would, streamed if the request asks for it; 404 for an unknown path."""
    path = received.path
    if path.endswith("/invoke"):
        return anthropic_message()
    if path.endswith("/invoke-with-response-stream"):
        return anthropic_bedrock_stream(n_chunks)
    shapes: tuple[tuple[str, Callable[[], Reply], Callable[[], Reply]], ...] = (
        ("/chat/completions", openai_chat, partial(openai_chat_stream, n_chunks, usage=_wants_usage(received))),
        ("/completions", openai_completion, partial(openai_completion_stream, n_chunks)),
        ("/responses", openai_responses, partial(openai_responses_stream, n_chunks)),
        ("/embeddings", openai_embeddings, openai_embeddings),
        ("/v1/messages", anthropic_message, partial(anthropic_message_stream, n_chunks)),
    )
    for suffix, whole, streamed in shapes:
        if path.endswith(suffix):
            return streamed() if _request(received).get("stream") else whole()
    return openai_error(404, message=f"nothing is served at {path}")


def _request(received: Received) -> dict[str, Any]:
    return received.json() if received.body.startswith(b"{") else {}


def _wants_usage(received: Received) -> bool:
    options: dict[str, Any] = _request(received).get("stream_options") or {}
    return bool(options.get("include_usage"))


def _as_json(received: Received) -> dict[str, Any]:
    body = base64.b64encode(received.body).decode()
    return {
        "method": received.method,
        "target": received.target,
        "headers": received.headers,
        "body_b64": body,
        "connection": received.connection,
    }


def wait_for_signal() -> None:
    """Block until SIGINT or SIGTERM."""
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    stopped.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as a process of its own until it is told to stop."""
    parser = argparse.ArgumentParser(prog="provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=3, help="deltas of a stream")
    parser.add_argument("--delay-before", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--delay-between", type=float, default=0.0, help="seconds between the chunks of a stream")
    options = parser.parse_args(arguments)

    def route(received: Received) -> Reply:
        reply = by_path(received, n_chunks=options.chunks)
        return reply.but(delay_before=options.delay_before, delay_between=options.delay_between)

    with Provider(route, port=options.port) as provider:
        sys.stdout.write(f"{provider.url}\n")
        sys.stdout.flush()
        wait_for_signal()


if __name__ == "__main__":
    main()
