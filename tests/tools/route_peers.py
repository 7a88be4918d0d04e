# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a route: servers of WebSocket and ZeroMQ, on loopback; functions that are called."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import zmq
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.sync.server import ServerConnection

PATIENCE = 30
called: list[dict[str, Any]] = []
hold = threading.Event()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.01)


def take(event: dict[str, Any]) -> None:
    called.append(event)


def fail_at_odd(event: dict[str, Any]) -> None:
    if event["payload"].get("n", 0) % 2:
        raise LookupError
    called.append(event)


def hang(_: dict[str, Any]) -> None:
    hold.wait(PATIENCE)


class WebSocketPeer:
    """A server that keeps each message, and the token that was shown."""

    def __init__(self, port: int = 0, *, reads: bool = True) -> None:
        self.messages: list[str | bytes] = []
        self.shown: list[str | None] = []
        self._open: list[ServerConnection] = []
        self._reads = reads
        self._ending = threading.Event()
        self._server = serve(self._keep, "127.0.0.1", port, compression=None, max_queue=1, close_timeout=0.1)
        self.port: int = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _keep(self, connection: ServerConnection) -> None:
        self._open.append(connection)
        request = connection.request
        self.shown.append(request.headers.get("Authorization") if request else None)
        if not self._reads:
            self._ending.wait(PATIENCE)
            return
        with contextlib.suppress(ConnectionClosed):
            self.messages.extend(connection)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in list(self.messages)]

    def close(self) -> None:
        self._ending.set()
        self._server.shutdown()
        for connection in self._open:
            connection.close()


class ZmqPeer:
    """A PULL socket that keeps each message."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._ending = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._ending.is_set():
            if self._socket.poll(50):
                self.messages.append(self._socket.recv())

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in list(self.messages)]

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close(linger=0)
        self._context.term()
