# SPDX-License-Identifier: Apache-2.0
"""What a session talks over: its stream is remembered as the library opens it, the context manager stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import wrapt

from ..core.contain import Contained

if TYPE_CHECKING:
    from collections.abc import Callable

_OPEN = Contained("mcp.transport")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Transport:
    """The way to a peer."""

    network: str
    """`network.transport`: `pipe` or `tcp`."""
    own: bool = False
    """Whether the two processes are one agent's: a server that we started, or the client that started us."""
    address: str | None = None
    port: int | None = None


_STDIO = Transport("pipe", own=True)
# By identity, for as long as it is open: mcp 2 has streams that can be neither hashed nor referred to weakly.
_open: dict[int, tuple[Any, Transport]] = {}


def over(stream: Any) -> Transport | None:
    """What ``stream``, the one that is written to, leads to; None where somebody else has opened or wrapped it."""
    found = _open.get(id(stream))
    return found[1] if found is not None else None


class _Opened(wrapt.ObjectProxy):  # type: ignore[misc]
    """The library's context manager, which remembers what it opened."""

    def __init__(self, opened: Any, transport: Transport) -> None:
        super().__init__(opened)  # pyright: ignore[reportUnknownMemberType]
        self._self_opened = opened
        self._self_transport = transport
        self._self_stream: Any = None

    async def __aenter__(self) -> Any:
        streams: Any = await self._self_opened.__aenter__()
        with _OPEN:
            self._self_stream = streams[1]
            _open[id(streams[1])] = (streams[1], self._self_transport)
        return streams

    async def __aexit__(self, *raised: object) -> Any:
        _open.pop(id(self._self_stream), None)
        return await self._self_opened.__aexit__(*raised)


def _opening(transport_of: Callable[[tuple[Any, ...], dict[str, Any]], Transport]) -> Callable[..., Any]:
    def opened(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
        found = wrapped(*args, **kwargs)
        with _OPEN:
            return _Opened(found, transport_of(args, kwargs))
        return found

    return opened


def _http(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Transport:
    url = urlsplit(str(args[0] if args else kwargs["url"]))
    return Transport("tcp", address=url.hostname, port=url.port or _PORTS.get(url.scheme))


stdio_client = _opening(lambda args, kwargs: _STDIO)  # noqa: ARG005 - one signature for all
stdio_server = _opening(lambda args, kwargs: _STDIO)  # noqa: ARG005 - one signature for all
http_client = _opening(_http)
