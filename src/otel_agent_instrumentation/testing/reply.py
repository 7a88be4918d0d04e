# SPDX-License-Identifier: Apache-2.0
"""What the fake provider answers: a status, a body whole or in chunks, and what goes wrong on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .loopback import ResetConnection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .loopback import Connection

BEFORE_HEAD = -1
"""As `Reply.die_after`: reset before even the status line."""


def _no_headers() -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. A ``body`` of bytes has a length; a tuple of chunks is sent chunked, each as one write.

    Times are seconds. ``die_after=n`` resets the connection after n chunks (0: after the head, `BEFORE_HEAD`: before
    it); ``hang_after=n`` stops there and keeps the connection open; ``hang`` never answers at all. A whole body counts
    as two halves there.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=_no_headers)
    body: bytes | tuple[bytes, ...] = b""
    delay_before: float = 0.0
    delay_between: float = 0.0
    die_after: int | None = None
    hang: bool = False
    hang_after: int | None = None

    def but(self, **changes: Any) -> Reply:
        """Return this reply with some fields changed, for example ``openai_chat().but(delay_before=1)``."""
        return replace(self, **changes)

    @property
    def content(self) -> bytes:
        """The whole body."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)


def json_reply(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a JSON answer."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return Reply(status, {"content-type": "application/json", **(headers or {})}, body)


def stream_reply(chunks: Iterable[bytes], content_type: str = "text/event-stream; charset=utf-8") -> Reply:
    """Return a streamed answer."""
    return Reply(200, {"content-type": content_type, "cache-control": "no-cache"}, tuple(chunks))


def serve(reply: Reply, connection: Connection) -> None:
    """Write ``reply`` to ``connection``, faults included."""
    if reply.hang:
        connection.hang()
        return
    connection.pause(reply.delay_before)
    if reply.die_after == BEFORE_HEAD:
        raise ResetConnection
    if isinstance(reply.body, bytes):
        _serve_whole(reply, reply.body, connection)
    else:
        _serve_chunks(reply, reply.body, connection)


def _serve_whole(reply: Reply, body: bytes, connection: Connection) -> None:
    head = connection.head(reply.status, reply.headers, length=len(body))
    if reply.die_after is None and reply.hang_after is None:
        connection.send(head + body)
        return
    middle = len(body) // 2
    connection.send(head)
    for position, half in enumerate((body[:middle], body[middle:])):
        if _stopped(reply, position, connection):
            return
        connection.send(half)


def _serve_chunks(reply: Reply, chunks: tuple[bytes, ...], connection: Connection) -> None:
    cut = len(chunks) in {reply.die_after, reply.hang_after}
    connection.send(connection.head(reply.status, reply.headers, length=None))
    for position, chunk in enumerate(chunks):
        if position:
            connection.pause(reply.delay_between)
        if _stopped(reply, position, connection):
            return
        # The end goes out with the last chunk: a client that stops at the stream's own end mark, as OpenAI's does, must
        # not look like one that went away.
        connection.send_chunk(chunk, last=position + 1 == len(chunks) and not cut)
    if cut:
        _stopped(reply, len(chunks), connection)
    elif not chunks:
        connection.send_chunk(b"", last=True)


def _stopped(reply: Reply, sent: int, connection: Connection) -> bool:
    if reply.die_after == sent:
        raise ResetConnection
    if reply.hang_after == sent:
        connection.hang()
        return True
    return False
