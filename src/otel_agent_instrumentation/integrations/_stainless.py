# SPDX-License-Identifier: Apache-2.0
"""Clients generated from one template (openai, anthropic, groq): one seam, the client's `request`, sees every method.

`create`, `parse`, the `.stream()` helpers, `beta`, `with_raw_response` and `with_streaming_response` all end in
`request(cast_to, options, stream=..., stream_cls=...)`; the API is told by method and path. What `request` returns is
one of: the parsed model, a `Stream`, a raw response whose body was read, a raw response whose body was not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..core.contain import Contained
from ..core.engine import Engine, async_wrapper, current_call, sync_wrapper
from ..core.patching import Seam
from ..core.spec import Request
from ..core.streams import AsyncTap, BodyTap, StreamState, answer_close, async_exit, state_of, sync_exit, sync_reader
from ._providers import provider
from ._read import decode
from ._sse import BytesAccumulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..core.spec import Api, Call

_MOST_SERVERS = 256
_MOST_KINDS = 1024
_kinds: dict[type, str] = {}
_TAKE = Contained("stainless.take_stream")
_HOOK = Contained("stainless.retry_hook")


class Stainless:
    """The readers of one generated client: `begin` and `finish` for the engine, and its table of seams."""

    def __init__(
        self,
        library: str,
        route: Callable[[str, str], Api | None],
        *,
        by_class: dict[str, str] | None = None,
        capture: Callable[[], bool],
    ) -> None:
        self.library = library
        self._route = route
        self._by_class = by_class or {}
        self._capture = capture
        self._request = Contained(f"{library}.request")
        self._response = Contained(f"{library}.response")
        # By the identity of the client's URL object, which an entry keeps alive so that the identity stays its own.
        self._servers: dict[int, tuple[Any, type, tuple[str, str | None, int | None]]] = {}

    def seams(self, exits: Iterable[tuple[str, str]]) -> tuple[Seam, ...]:
        """The client's seams. ``exits``: (module, class) of the objects that a caller leaves a `with` block of."""
        base, streaming = f"{self.library}._base_client", f"{self.library}._streaming"
        found = [
            Seam(base, "SyncAPIClient.request", sync_wrapper(self.library, self.begin, self.finish), "every sync call"),
            Seam(
                base, "AsyncAPIClient.request", async_wrapper(self.library, self.begin, self.finish), "every async call"
            ),
            Seam(base, "BaseClient._should_retry", _seen_status, "the status of a retried attempt"),
            Seam(base, "BaseClient._calculate_retry_timeout", _retrying, "the number of retries"),
        ]
        found += [
            Seam(streaming, f"{name}.__stream__", self._parsing, "what goes wrong in a raw answer's stream")
            for name in ("Stream", "AsyncStream")
        ]
        found += [
            Seam(f"{self.library}._response", f"{name}.close", answer_close, "how a raw answer's stream was left")
            for name in ("APIResponse", "AsyncAPIResponse")
        ]
        exits = [(streaming, "Stream"), (f"{self.library}._response", "ResponseContextManager"), *exits]
        for module, name in exits:
            twin = name.replace("Beta", "BetaAsync", 1) if "BetaMessage" in name else f"Async{name}"
            role = "errors that leave a `with` block of a stream"
            found.append(Seam(module, f"{name}.__exit__", sync_exit, role, optional=name != "Stream"))
            found.append(Seam(module, f"{twin}.__aexit__", async_exit, role, optional=name != "Stream"))
        return tuple(found)

    def begin(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:
        """The API and the request's facts, or None for a path that is not a model call."""
        options = args[1] if len(args) > 1 else kwargs["options"]
        api = self._route(options.method, options.url)
        if api is None:
            return None
        name, address, port = self._server(instance)
        body: Any = options.json_data
        extra = options.extra_json
        if type(extra) is dict and extra:
            body = {**body, **extra} if isinstance(body, dict) else extra  # pyright: ignore[reportUnknownVariableType]
        request = Request(api.operation, name, address=address, port=port, body=body)
        request.stream = bool(kwargs.get("stream"))
        with self._request:
            api.request(body if isinstance(body, dict) else options, request)
        if not self._capture():
            request.body = None  # else it is kept until the call is told
        return api, request

    def finish(self, engine: Engine, call: Call, result: Any) -> Any:
        """End the call with the parsed answer's facts, or hand it to the stream."""
        kind = _kinds.get(type(result)) or _kind(type(result))  # pyright: ignore[reportUnknownArgumentType]
        if kind == "stream":
            if "_iterator" in vars(result):
                self._take_stream(call, result)
            else:  # anthropic 2 makes it on first use, through `__stream__`
                self._take_body(call, result.response)
            return result
        if kind == "parsed":
            with self._response:
                call.response = response = call.api.response(result)
                if call.request.body is None:
                    response.output = None
            engine.end(call)
            return result
        http = result if kind == "http" else result.http_response
        if http.is_closed:
            with self._response:
                self._read_body(call, http)
            engine.end(call)
        else:
            self._take_body(call, http)
        return result

    def _read_body(self, call: Call, http: Any) -> None:
        media_type = http.headers.get("content-type", "")
        if call.request.stream and call.api.accumulator is not None and "json" not in media_type:
            reader = BytesAccumulator(call.api, call.api.accumulator(self._capture()), media_type, "")
            reader.add(http.content)
            call.response = reader.response()
        elif http.content:
            call.response = call.api.response(decode(http.content))

    def _take_stream(self, call: Call, stream: Any) -> None:
        accumulator = call.api.accumulator
        if accumulator is None:
            msg = f"{call.request.operation} answered with a stream"
            raise TypeError(msg)
        state = StreamState(call, accumulator(self._capture()))
        # The one place where the client's stream can be observed unchanged.
        stream._iterator = _tapped(stream._iterator, state)  # noqa: SLF001
        with _TAKE:
            stream.response.stream = BodyTap(stream.response.stream, state)

    def _take_body(self, call: Call, http: Any) -> None:
        headers = http.headers
        inner = call.api.accumulator(self._capture()) if call.api.accumulator is not None else None
        encoding = headers.get("content-encoding", "").strip().lower()
        reader = BytesAccumulator(call.api, inner, headers.get("content-type", ""), encoding)
        state = StreamState(call, reader)
        http.stream = BodyTap(http.stream, state)

    def _parsing(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A raw answer that its caller parses into a stream is read there: the exceptions are what the caller sees.

        Around `Stream.__stream__`, not the answer's `parse`: every plain call parses an answer, few make a stream.
        """
        inner = wrapped(*args, **kwargs)
        with _TAKE:
            state = state_of(getattr(getattr(instance, "response", None), "stream", None))
            if state is not None and not state.parsed and state.call.api.accumulator is not None:
                state.adopt(state.call.api.accumulator(self._capture()))
                return _tapped(inner, state)
        return inner

    def _server(self, client: Any) -> tuple[str, str | None, int | None]:
        url = client.base_url
        known = self._servers.get(id(url))
        if known is not None and known[0] is url and known[1] is type(client):
            return known[2]
        host, port = url.host or None, url.port or {"https": 443, "http": 80}.get(url.scheme)
        name = next((self._by_class[c.__name__] for c in type(client).__mro__ if c.__name__ in self._by_class), None)
        server = (name or provider(host or "", url.port), host, port)
        if len(self._servers) >= _MOST_SERVERS:
            self._servers.clear()
        self._servers[id(url)] = (url, type(client), server)
        return server


def _kind(cls: type) -> str:
    """What a call returned, by its class: asked once, as a missing attribute of a pydantic class is slow to miss."""
    if hasattr(cls, "__stream__"):
        kind = "stream"
    elif any("http_response" in vars(base).get("__annotations__", ()) for base in cls.__mro__):
        kind = "raw"
    else:
        kind = "http" if hasattr(cls, "aiter_raw") else "parsed"
    if len(_kinds) < _MOST_KINDS:
        _kinds[cls] = kind
    return kind


def _tapped(inner: Any, state: StreamState) -> Any:
    state.parsed = True
    return AsyncTap(inner, state) if hasattr(inner, "__anext__") else sync_reader(inner, state, tap=True)


def _seen_status(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    with _HOOK:
        call = current_call()
        if call is not None and args:
            call.last_status = args[0].status_code
    return wrapped(*args, **kwargs)


def _retrying(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    with _HOOK:
        call = current_call()
        if call is not None:
            call.retries += 1
            call.attempts.append((time.time_ns(), call.last_status))
            call.last_status = None
    return wrapped(*args, **kwargs)
