# SPDX-License-Identifier: Apache-2.0
"""The clients of the stream: who is there, what each wants, and what waits for each. One event loop's own."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from .filters import compiled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .filters import Filter
    from .follow import Told

_MOST_MESSAGES = 8192
_MOST_BYTES = 8 * 1024 * 1024


class Client:
    """What waits for one client. One that does not keep up misses events, and is told how many."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._missed = 0
        self._wake = asyncio.Event()

    def put(self, message: bytes) -> None:
        """Queue a message, unless the client lags: then it is counted until all that waits has left."""
        if self._missed or len(self._queue) >= _MOST_MESSAGES or self._bytes >= _MOST_BYTES:
            self._missed += 1
        else:
            self._queue.append(message)
            self._bytes += len(message)
        self._wake.set()

    async def send_all(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send what comes, for ever; ``send`` waits while the client does not read."""
        while True:
            while self._queue:
                message = self._queue.popleft()
                self._bytes -= len(message)
                await send(message)
            if self._missed:
                missed, self._missed = self._missed, 0
                await send(b'{"lagged":%d}' % missed)
                continue
            self._wake.clear()
            await self._wake.wait()


class Clients:
    """All clients. Those that want the same are asked once."""

    def __init__(self) -> None:
        self._wanting: dict[Filter, tuple[Callable[..., bool], set[Client]]] = {}

    def add(self, wanted: Filter) -> Client:
        """Let a new client take part from now on."""
        client = Client()
        self._wanting.setdefault(wanted, (compiled(wanted), set()))[1].add(client)
        return client

    def remove(self, wanted: Filter, client: Client) -> None:
        """Forget one that has left."""
        _, clients = self._wanting[wanted]
        clients.discard(client)
        if not clients:
            del self._wanting[wanted]

    def tell(self, told: Told, message: Callable[[], bytes | None]) -> None:
        """Give an event to all that want it; its message, if it has one, is made if somebody does."""
        made: bytes | None = None
        for wants, clients in self._wanting.values():
            if wants(told.head):
                made = message() if made is None else made
                if made is None:
                    return
                for client in clients:
                    client.put(made)

    def __len__(self) -> int:
        return sum(len(clients) for _, clients in self._wanting.values())
