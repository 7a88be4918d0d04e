# SPDX-License-Identifier: Apache-2.0
"""Ledger lines over a TCP socket, newline-delimited: the target of a lane, which queues, retries and counts.

The lines are redacted before they come here. After a break the lane sends a batch again whose arrival nobody confirmed:
a receiver drops an unfinished last line of a connection, and tells a repeated one by its `pid` and `seq`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from .outcome import DELIVERED, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNREACHABLE: Final = Outcome(Verdict.RETRY, "unreachable")
_LOST: Final = Outcome(Verdict.RETRY, "connection_lost", maybe_delivered=True)
_LONGEST_CONNECT: Final = 3.0


class TcpTarget:
    """One receiver of lines (bytes, each with its newline)."""

    renewable = True

    def __init__(self, host: str, port: int, name: str = "ledger socket") -> None:
        self.name = name
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def attempt(self, batch: Sequence[bytes], timeout: float) -> Outcome:
        """Send ``batch``, over a new connection if the old one is gone. Waits at most about ``timeout`` seconds."""
        try:
            connection = self._connected(timeout)
        except OSError:
            return _UNREACHABLE
        try:
            connection.settimeout(timeout)
            connection.sendall(b"".join(batch))
        except OSError:
            self.close()
            return _LOST
        return DELIVERED

    def _connected(self, timeout: float) -> socket.socket:
        if self._socket is not None and _is_closed(self._socket):
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(self._address, min(timeout, _LONGEST_CONNECT))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return self._socket

    def renew(self) -> None:
        """Forget the connection: another process, or an abandoned thread, holds it."""
        if self._socket is not None:
            # The descriptor is this process's own: closing it shuts no connection of a parent down.
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _is_closed(connection: socket.socket) -> bool:
    """Whether the receiver closed ``connection``: what is sent then seems to arrive, and does not."""
    try:
        connection.settimeout(0)
        while data := connection.recv(4096):
            del data  # nothing is expected from a receiver
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
