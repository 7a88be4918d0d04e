# SPDX-License-Identifier: Apache-2.0
"""A threaded HTTP/1.1 server on 127.0.0.1 that a test can trust to be gone when it is closed.

The standard library's threading server either forgets its threads (daemon) or waits for the clients to hang up. This
one knows each connection: closing it shuts the sockets down, which ends every blocked read and write, and joins all
threads. The faults that tests need (reset, hang, refuse, come back) are here as plain operations on the socket.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import responses
from http.server import BaseHTTPRequestHandler
from json import loads
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message
    from types import TracebackType

    from typing_extensions import Self

_BACKLOG = 1024
_CLOSE_SECONDS = 1.0
_RESET = struct.pack("ii", 1, 0)
_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came: ``target`` is the path with its query, ``body`` the bytes before any decoding.

    ``connection`` numbers the TCP connections of the server from 1, so that a test can see keep-alive at work.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query without its question mark, or an empty text."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> Any:
        """Return the body parsed as JSON; raises ``ValueError`` where it is none."""
        return loads(self.body)


class ResetConnection(Exception):  # noqa: N818 - a way out, not an error
    """Raised within an answer to end the connection with a TCP reset."""


class Connection(BaseHTTPRequestHandler):
    """One client's connection; what an answer function writes to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Loopback  # pyright: ignore[reportIncompatibleVariableOverride] - the base wants its own kind of server

    def __init__(self, connection: socket.socket, address: tuple[str, int], server: Loopback, number: int) -> None:
        self.number = number
        super().__init__(connection, address, server)  # pyright: ignore[reportArgumentType] - as above

    def handle(self) -> None:
        """Serve requests until one side hangs up."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing: a test's stderr is part of what it checks."""

    def _serve(self) -> None:
        headers: Message = self.headers
        body = self._read_body(headers)
        # Not `self.path`: the base folds leading slashes, and one recorded path has two.
        target = self.requestline.split()[1]
        received = Received(self.command, target, tuple(headers.items()), body, self.number)
        try:
            self.server.answer(self, received)
        except ConnectionError:
            self.server.note_disconnect()
            raise

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815 - the base's names

    def _read_body(self, headers: Message) -> bytes:
        if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
            return b"".join(iter(self._read_chunk, b""))
        return self.rfile.read(int(headers.get("Content-Length") or 0))

    def _read_chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    # What an answer may do ------------------------------------------------------------------------------------------

    def head(self, status: int, headers: Mapping[str, str], *, length: int | None) -> bytes:
        """Return the answer's head as bytes; ``length`` None announces a chunked body."""
        lines = [f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif status not in _NO_BODY:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def send(self, data: bytes) -> None:
        """Write ``data`` at once, as one write to the socket."""
        self.connection.sendall(data)

    def send_chunk(self, data: bytes, *, last: bool = False) -> None:
        """Write one chunk of a chunked body as one write, with the end of the body if it is the last."""
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self.connection.sendall(framed + (b"0\r\n\r\n" if last else b""))

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the server lives."""
        if seconds > 0 and self.server.closing.wait(seconds):
            raise ResetConnection

    def hang(self) -> None:
        """Answer nothing until the client or the server closes."""
        with suppress(ConnectionError):
            if self.connection.recv(1, socket.MSG_PEEK):
                self.server.closing.wait()
        self.close_connection = True


class Loopback:
    """Serve ``answer(connection, received)`` on 127.0.0.1, each connection in its own daemon thread."""

    def __init__(self, answer: Callable[[Connection, Received], None], *, port: int = 0) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._live: dict[threading.Thread, socket.socket] = {}
        self._accepted = 0
        self._disconnects = 0
        self._acceptor: threading.Thread | None = None
        self._listener = _bound(port)
        self.port: int = self._listener.getsockname()[1]
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """The address without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def disconnects(self) -> int:
        """How many answers a client did not wait for; only a write (the second at the latest) notices that."""
        return self._disconnects

    def note_disconnect(self) -> None:
        """Count an answer that its client did not wait for; our own closing is none."""
        if not self.closing.is_set():
            with self._lock:
                self._disconnects += 1

    def answer(self, connection: Connection, received: Received) -> None:
        """Answer one request; called by the connection."""
        self._answer(connection, received)

    def listen(self) -> None:
        """Begin to accept, or accept again after `refuse`, on the same port."""
        if self._acceptor is not None or self.closing.is_set():
            return
        self._listener.listen(_BACKLOG)
        self._acceptor = threading.Thread(target=self._accept, name=f"loopback-{self.port}", daemon=True)
        self._acceptor.start()

    def refuse(self) -> None:
        """Refuse new connections and drop the present ones; the port stays ours."""
        self._stop_accepting()
        if not self.closing.is_set():
            # A bound socket that does not listen refuses, and keeps the port from being handed to anyone else.
            self._listener = _bound(self.port)
        self._end_connections()

    def close(self) -> None:
        """End every connection and thread. Harmless when repeated."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._stop_accepting()
        self._end_connections()

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            if self._acceptor is None:  # `_stop_accepting` called to wake us up
                connection.close()
                return
            self._accepted += 1
            thread = threading.Thread(target=self._run, args=(connection, address, self._accepted), daemon=True)
            with self._lock:
                self._live[thread] = connection
            thread.start()

    def _run(self, connection: socket.socket, address: tuple[str, int], number: int) -> None:
        try:
            Connection(connection, address, self, number)
        except ResetConnection:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            with self._lock:
                del self._live[threading.current_thread()]
                connection.close()

    def _stop_accepting(self) -> None:
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            # Closing a socket does not wake a blocked accept() everywhere; a connection does.
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=_CLOSE_SECONDS):
                pass
            acceptor.join(_CLOSE_SECONDS)
        self._listener.close()

    def _end_connections(self) -> None:
        with self._lock:
            live = dict(self._live)
            for connection in live.values():
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in live:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener
