# SPDX-License-Identifier: Apache-2.0
"""Where lines go besides TCP: a file, ZeroMQ, WebSocket, a function. Targets of a lane, which queues and counts.

As over TCP, a batch whose arrival is not sure is sent again: a receiver tells a repeated line by its `pid` and `seq`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from ..core import contain
from .outcome import DELIVERED, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENTRY_POINTS = "otel_agent_route"
"""Group of entry points whose names a route may `call`."""
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_UNREACHABLE: Final = Outcome(Verdict.RETRY, "unreachable")
_LOST: Final = Outcome(Verdict.RETRY, "connection_lost", maybe_delivered=True)
_UNWRITTEN: Final = Outcome(Verdict.RETRY, "write_failed", maybe_delivered=True)
_UNUSABLE: Final = Outcome(Verdict.REFUSED, "not_loaded")
_LONGEST_CONNECT: Final = 3.0
_MOST_IN_ZMQ: Final = 100
_LINGER_MS: Final = 300
# What a hung thread, or another process, may use still is not to be collected: that would close it.
_open: list[Any] = []


class FileTarget:
    """A file that lines are appended to. It is opened for each batch: whoever rotates it may move it away."""

    renewable = True

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = Path(path).expanduser().absolute()  # the agent may change its directory

    def attempt(self, batch: Sequence[bytes], timeout: float) -> Outcome:  # noqa: ARG002 - a disk is not asked to hurry
        """Append ``batch``; what a full disk cut off is ended, and written again later."""
        data = memoryview(b"".join(batch))
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not blocking: it could be a pipe that nobody reads.
            file = os.open(self._path, _FLAGS | getattr(os, "O_NONBLOCK", 0), 0o600)
            try:
                if _is_torn(file):
                    data = memoryview(b"\n" + data)
                while data:
                    data = data[os.write(file, data) :]
            finally:
                os.close(file)
        except OSError:
            return _UNWRITTEN
        return DELIVERED

    def renew(self) -> None:
        """Do nothing: nothing is kept open."""

    def close(self) -> None:
        """Do nothing: nothing is kept open."""


def _is_torn(file: int) -> bool:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise OSError
    if not found.st_size:
        return False
    os.lseek(file, -1, os.SEEK_END)
    return os.read(file, 1) != b"\n"


class ZmqTarget:
    """A PULL socket of ZeroMQ: each line is one message. PUSH rather than PUB, which drops and tells nobody."""

    renewable = True

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._address = address
        self._open: tuple[Any, Any] | None = None

    def attempt(self, batch: Sequence[bytes], timeout: float) -> Outcome:
        """Send ``batch``; waits up to ``timeout`` seconds for a receiver that has room."""
        import zmq

        sent = 0
        try:
            socket = self._connected(zmq)
            socket.setsockopt(zmq.SNDTIMEO, max(1, int(timeout * 1000)))
            for line in batch:
                socket.send(line.rstrip(b"\n"))
                sent += 1
        except zmq.ZMQError:
            return _LOST if sent else _UNREACHABLE
        return DELIVERED

    def _connected(self, zmq: Any) -> Any:
        if self._open is None:
            context = zmq.Context()
            socket = context.socket(zmq.PUSH)
            self._open = context, socket
            _open.append(self._open)
            socket.setsockopt(zmq.IMMEDIATE, 1)  # only to who is there: what waits, waits in our own queue
            socket.setsockopt(zmq.SNDHWM, _MOST_IN_ZMQ)
            socket.setsockopt(zmq.LINGER, _LINGER_MS)
            socket.connect(self._address)
        return self._open[1]

    def renew(self) -> None:
        """Forget the socket: another process, or an abandoned thread, holds it."""
        self._open = None

    def close(self) -> None:
        """Close the socket; what it holds is sent within 0.3 s."""
        if self._open is not None:
            context, socket = self._open
            socket.close()
            context.term()
            _open.remove(self._open)
            self._open = None


class WebSocketTarget:
    """A WebSocket server that is connected to: each line is one text message."""

    renewable = True

    def __init__(self, name: str, address: str, token: str = "") -> None:
        self.name = name
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._open: Any = None

    def attempt(self, batch: Sequence[bytes], timeout: float) -> Outcome:
        """Send ``batch``, over a new connection if the old one is gone."""
        from websockets.exceptions import WebSocketException

        try:
            connection = self._connected(timeout)
        except (OSError, EOFError, ValueError, WebSocketException):
            return _UNREACHABLE
        try:
            for line in batch:
                connection.send(line.rstrip(b"\n"), text=True)
        except (OSError, EOFError, WebSocketException):
            self.close()
            return _LOST
        return DELIVERED

    def _connected(self, timeout: float) -> Any:
        from websockets.protocol import State

        if self._open is not None and self._open.protocol.state is not State.OPEN:
            self.close()  # since the batch before: what ended it was none of these lines
        if self._open is None:
            from websockets.sync.client import connect

            self._open = connect(
                self._address,
                additional_headers=self._headers,
                compression=None,
                open_timeout=min(timeout, _LONGEST_CONNECT),
                close_timeout=0.3,
            )
            _open.append(self._open)
            with contextlib.suppress(OSError, struct.error):
                # The library sends without a time limit; of who reads nothing we want to know.
                seconds = struct.pack("ll", int(timeout) + 1, 0)
                self._open.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        return self._open

    def renew(self) -> None:
        """Forget the connection: another process, or an abandoned thread, holds it."""
        self._open = None

    def close(self) -> None:
        """Close the connection."""
        connection, self._open = self._open, None
        if connection is not None:
            contain.call("route.close", connection.close)
            _open.remove(connection)


class CallTarget:
    """A function of the user's: it is called with each event, a `dict`, on the route's own thread."""

    renewable = False  # it may not be called by two threads at a time

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = path
        self._function: Callable[[dict[str, Any]], object] | None = None
        self._failed = False

    def attempt(self, batch: Sequence[bytes], timeout: float) -> Outcome:  # noqa: ARG002 - a function takes its time
        """Call it; an event for which it raises is lost and counted."""
        if self._function is None and not self._failed:
            self._function = contain.call("route.load", _load, self._path)
            self._failed = self._function is None
        if self._function is None:
            return _UNUSABLE
        done = sum(contain.call("route.call", self._one, line, default=0) or 0 for line in batch)
        return DELIVERED._replace(rejected=len(batch) - done)

    def _one(self, line: bytes) -> int:
        if self._function is not None:
            self._function(msgspec.json.decode(line))
        return 1

    def renew(self) -> None:
        """Do nothing: what the function holds is its own."""

    def close(self) -> None:
        """Do nothing: what the function holds is its own."""


def _load(path: str) -> Callable[[dict[str, Any]], object]:
    """The function at `module:name`, or an entry point's. Raises whatever its module does."""
    module, colon, name = path.partition(":")
    if not colon:
        for point in entry_points(group=ENTRY_POINTS, name=path):
            return point.load()
        msg = f"no entry point `{path}` in the group {ENTRY_POINTS}"
        raise LookupError(msg)
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        msg = f"{path} cannot be called"
        raise TypeError(msg)
    return found
