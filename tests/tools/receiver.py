# SPDX-License-Identifier: Apache-2.0
"""A receiver of lines over TCP, on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any


class Receiver:
    """Keeps what comes in, by connection."""

    def __init__(self, port: int = 0) -> None:
        self.server = socket.create_server(("127.0.0.1", port))
        self.port = self.server.getsockname()[1]
        self.received: list[bytearray] = []
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                self.open.append(connection)
                self.received.append(bytearray())
                threading.Thread(target=self._read, args=(connection, self.received[-1]), daemon=True).start()

    @staticmethod
    def _read(connection: socket.socket, into: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                into += data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for data in list(self.received) for line in bytes(data).splitlines()]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        end = time.monotonic() + 10
        while len(b"".join(map(bytes, self.received)).splitlines()) < count and time.monotonic() < end:
            time.sleep(0.01)
        return self.lines()

    def wait_for_last(self, written: bytes) -> None:
        """Wait until every line of ``written`` is here."""
        end = time.monotonic() + 10
        while set(written.splitlines()) - set(b"".join(map(bytes, self.received)).splitlines()):
            if time.monotonic() > end:
                return
            time.sleep(0.02)
