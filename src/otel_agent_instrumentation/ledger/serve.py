# SPDX-License-Identifier: Apache-2.0
"""The stream: a server that follows a folder's ledger files and tells each new event over WebSocket (L9).

`/stream` takes the keys of a filter (:mod:`.filters`) and `since`. Every message is a JSON object: the first is
`{"position": P}`, an event `{"position": P, "event": {...}}`, and `{"lagged": N}` says that N events were left out
because the client did not keep up. A client that comes back with the last `position` as `since` is told each event
that it has not had, once, in order; also by another server.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.contain import Contained
from . import filters, positions, replay
from .admission import LOOPBACK as LOOPBACK  # noqa: PLC0414 - shown to others
from .admission import Admission, Answer, Asked
from .clients import Clients
from .follow import MARGIN_NS, Follower
from .leaving import leaving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from ..redaction.policy import Policy
    from .filters import Filter
    from .follow import Told
    from .positions import Position

STREAM = "/stream"
_FOLLOW = Contained("stream.follow")
_PAGES = Contained("stream.pages")
_NOTHING = Answer(HTTPStatus.NOT_FOUND, "There is nothing here.\n")
_PAUSE = 0.05
_AT_ONCE = 256
# A client that asks for much, or garbage, is no news; the library would print a traceback for each.
_log = logging.getLogger(f"{__name__}.websockets")
_log.setLevel(logging.CRITICAL)


class _Wanted(NamedTuple):
    filter: Filter
    since: Position | None


class Stream:
    """One folder's events, told to any number of clients."""

    def __init__(self, folder: Path, policy: Policy, pages: Callable[[str], Answer | None] = lambda _: None) -> None:
        """Begin at the end of what is there. ``policy`` redacts each line once more: others write there, too.

        ``pages`` answers plain requests for other paths, in a thread, one at a time; None: there is nothing.
        """
        self._pages = pages
        self._asking = asyncio.Lock()
        self._folder = folder
        self._policy = policy
        self._follower = Follower(folder)
        self._clients = Clients()
        self._offsets = self._follower.active()
        self._time_ns = time.time_ns() - MARGIN_NS
        self._looking = asyncio.Lock()
        """Held while lines have been read and are not told yet."""

    async def answer(self, asked: Asked) -> Answer | None:
        """The plain answer to a request; None: it is the stream that is asked for."""
        if asked.path == STREAM:
            return _refused(asked)
        with _PAGES:
            async with self._asking:
                return await asyncio.to_thread(self._pages, asked.path) or _NOTHING
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "This server failed; its log says how.\n")

    async def follow(self) -> None:
        """Tell what comes, for ever."""
        while True:
            begin = time.monotonic()
            with _FOLLOW:
                async with self._looking:
                    self._tell(await asyncio.to_thread(self._follower.poll))
            spent = time.monotonic() - begin
            # A folder of many thousand files takes long to look at: a fifth of the time at most goes into it.
            await asyncio.sleep(0 if self._follower.more else max(_PAUSE, 4 * spent))

    def _tell(self, found: list[Told]) -> None:
        self._time_ns = time.time_ns() - MARGIN_NS
        for told in found:
            self._offsets[told.key] = told.end
            self._clients.tell(told, lambda told=told: self._message(told, self._position()))
        self._offsets = self._follower.active()

    def _position(self) -> str:
        return positions.write(self._time_ns, self._offsets.items())

    def _message(self, told: Told, position: str) -> bytes | None:
        event = leaving(told.data, self._policy)
        return b'{"position":"%b","event":%b}' % (position.encode(), event) if event is not None else None

    async def serve(self, connection: ServerConnection) -> None:
        """Tell one client what it asked for, until it leaves."""
        wanted = wanted_by(getattr(connection, "asked", Asked("", {})))

        async def send(message: bytes) -> None:
            await connection.send(message, text=True)

        position = wanted.since
        if position is not None:  # what there is by now; the rest of it is less
            position = await self._catch_up(position, wanted.filter, send)
        async with self._looking:
            client = self._clients.add(wanted.filter)
            here, places = self._position(), self._follower.places()
        try:
            if position is not None:
                await self._replay(replay.since(position, places, self._folder), wanted.filter, send)
            await send(b'{"position":"%b"}' % here.encode())
            sending = asyncio.create_task(client.send_all(send))
            sending.add_done_callback(lambda task: task.cancelled() or task.exception())  # the client has left
            await connection.wait_closed()
            sending.cancel()
        finally:
            self._clients.remove(wanted.filter, client)

    async def _catch_up(self, position: Position, wanted: Filter, send: Any) -> Position:
        async with self._looking:
            places = self._follower.places()
        last = await self._replay(replay.since(position, places, self._folder), wanted, send)
        return positions.read(last) if last is not None else position

    async def _replay(self, found: Iterator[replay.Replayed], wanted: Filter, send: Any) -> str | None:
        """Send the wanted ones of ``found`` at the client's pace; returns the position after all of them."""
        wants, last = filters.compiled(wanted), None
        while some := await asyncio.to_thread(lambda: list(islice(found, _AT_ONCE))):
            for told, position in some:
                last = position
                if wants(told.head) and (message := self._message(told, position)) is not None:
                    await send(message)
        return last


def wanted_by(asked: Asked) -> _Wanted:
    """What a client of the stream asks for. Raises `ValueError`, which names what is wrong."""
    query = dict(asked.query)
    since = query.pop("since", [""])[-1]
    return _Wanted(filters.read(query), positions.read(since) if since else None)


@asynccontextmanager
async def serving(
    stream: Stream, host: str, port: int, token: str, origins: tuple[str, ...] = ()
) -> AsyncGenerator[int]:
    """Serve ``stream`` while the context lasts; yields the port. Raises `OSError` where it cannot be had."""
    from websockets import http11
    from websockets.asyncio.server import serve

    # A position among many files is longer than the library lets an address be; it has no other way to say so.
    http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2 * positions.LONGEST)
    admission: list[Admission] = []

    async def answer(connection: ServerConnection, request: Request) -> Response | None:
        asked = admission[0].check(request.path, request.headers)
        told = asked if isinstance(asked, Answer) else await stream.answer(asked)
        if told is None:
            connection.asked = asked  # pyright: ignore[reportAttributeAccessIssue]
            return None
        response = connection.respond(told.status, told.body)
        for name, value in told.headers:
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = value
        return response

    # Not compressed: on the loopback it costs more than it saves.
    options: dict[str, Any] = {
        "compression": None,
        "max_size": 4096,
        "close_timeout": 2,
        "process_request": answer,
        "logger": _log,
    }
    async with serve(stream.serve, host, port, start_serving=False, **options) as server:
        bound: int = next(iter(server.sockets)).getsockname()[1]
        admission.append(Admission(token, host, bound, origins))
        await server.start_serving()
        following = asyncio.create_task(stream.follow())
        try:
            yield bound
        finally:
            following.cancel()


def _refused(asked: Asked) -> Answer | None:
    """What is wrong with a request for the stream, if anything is."""
    try:
        wanted_by(asked)
    except ValueError as error:
        return Answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
    return None
