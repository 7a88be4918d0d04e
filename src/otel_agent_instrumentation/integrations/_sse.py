# SPDX-License-Identifier: Apache-2.0
"""Bytes to chunks, for answers whose bytes the caller reads itself: SSE, AWS event-stream frames, plain JSON.

Fed with what passes to the caller; nothing is read ahead. The format is the media type's; content encodings are undone
here because the tap sits below the HTTP client's own decoder.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

from ..core.spec import Response
from ._read import decode, get, text

if TYPE_CHECKING:
    from ..core.spec import Accumulator, Api

# A body that is not told by lines (JSON, or a line that never ends) is kept up to here; then its facts are given up.
_MOST = 32 * 1024 * 1024


class BytesAccumulator:
    """Feeds an API's accumulator (or its answer reader) from the bytes of a response body."""

    def __init__(self, api: Api, inner: Accumulator | None, media_type: str, encoding: str) -> None:
        self._api = api
        self._inner = inner
        self._buffer = bytearray()
        self._error: str | None = None
        self._frames = "vnd.amazon.eventstream" in media_type
        self._json = inner is None or "json" in media_type
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in {"gzip", "deflate"} else None
        self._readable = encoding in {"", "identity", "gzip", "deflate"}

    @property
    def complete(self) -> bool:
        """Whether the inner accumulator saw its end marker."""
        return self._inner is not None and self._inner.complete

    def add(self, chunk: Any) -> None:
        """Take the next bytes of the body."""
        if not self._readable:
            return
        self._buffer += self._inflate.decompress(chunk) if self._inflate is not None else chunk
        if len(self._buffer) > _MOST:
            self._readable = False
            self._buffer.clear()
        elif self._frames:
            self._take_frames()
        elif not self._json:
            self._take_events()

    def response(self) -> Response:
        """The facts of what passed."""
        if self._json and self._buffer:
            return self._api.response(decode(bytes(self._buffer)))
        if self._inner is None:
            return Response()  # its caller read nothing of it
        if not self._frames and self._buffer:
            self._buffer += b"\n\n"
            self._take_events()
        response = self._inner.response()
        response.error = response.error or self._error
        return response

    def _take_events(self) -> None:
        *lines, rest = bytes(self._buffer).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        # The data of one event may stand on several lines: only whole events (up to an empty line) are taken.
        pending: list[bytes] = []
        held: list[bytes] = []
        for line in lines:
            if line:
                held.append(line)
                if line.startswith(b"data:"):
                    pending.append(line[5:].lstrip(b" "))
                continue
            self._event(b"\n".join(pending))
            pending.clear()
            held.clear()
        self._buffer[:] = b"\n".join([*held, rest])

    def _event(self, data: bytes) -> None:
        if self._inner is not None and data and not data.startswith(b"[DONE]"):
            event = decode(data)
            error = get(event, "error")
            if error:  # of which the client would make an exception, were it to read this
                self._error = text(get(error, "code")) or text(get(error, "type")) or "error"
            self._inner.add(event)

    def _take_frames(self) -> None:
        buffer = self._buffer
        while len(buffer) >= 16:  # noqa: PLR2004 - prelude (12) and message checksum (4)
            total = int.from_bytes(buffer[0:4], "big")
            headers = int.from_bytes(buffer[4:8], "big")
            if total < 16 or len(buffer) < total:  # noqa: PLR2004
                return
            payload = bytes(buffer[12 + headers : total - 4])
            del buffer[:total]
            if payload and self._inner is not None:
                frame: dict[str, Any] | None = decode(payload)
                data = frame.get("bytes") if isinstance(frame, dict) else None
                if isinstance(data, str):
                    self._inner.add(decode(base64.b64decode(data)))
