# SPDX-License-Identifier: Apache-2.0
"""Clients generated from one template (openai, anthropic, groq): one seam, the client's `request`, sees every method.

`create`, `parse`, the `.stream()` helpers, `beta`, `with_raw_response` and `with_streaming_response` all end in
`request(cast_to, options, stream=..., stream_cls=...)`; the API is told by method and path. What `request` returns is
one of: the parsed model, a `Stream`, a raw response whose body was read, a raw response whose body was not.
"""

from __future__ import annotations

import inspect
import time
import weakref
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.contain import Contained
from ..core.engine import Engine, async_wrapper, current_call, sync_wrapper
from ..core.patching import Seam
from ..core.spec import Request
from ..core.streams import AsyncTap, BodyTap, StreamState, SyncTap, async_exit, sync_exit
from ._providers import provider
from ._sse import BytesAccumulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..core.spec import Api, Call

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
        self._servers: weakref.WeakKeyDictionary[Any, tuple[Any, str, str, int | None]] = weakref.WeakKeyDictionary()

    def seams(self, exits: Iterable[tuple[str, str]]) -> tuple[Seam, ...]:
        """The client's seams. ``exits``: (module, class) of the objects that a caller leaves a `with` block of."""
        base, streaming = f"{self.library}._base_client", f"{self.library}._streaming"
        found = [
            Seam(base, "SyncAPIClient.request", sync_wrapper(self.library, self.begin, self.finish), "every sync call"),
            Seam(base, "AsyncAPIClient.request", async_wrapper(self.library, self.begin, self.finish), "every async call"),
            Seam(base, "BaseClient._should_retry", _seen_status, "the status of a retried attempt"),
            Seam(base, "BaseClient._calculate_retry_timeout", _retrying, "the number of retries"),
        ]
        exits = [(streaming, "Stream"), (f"{self.library}._response", "ResponseContextManager"), *exits]
        for module, name in exits:
            twin = name.replace("Beta", "BetaAsync", 1) if "BetaMessage" in name else f"Async{name}"
            role = "errors that leave a `with` block of a stream"
            found.append(Seam(module, f"{name}.__exit__", sync_exit, role, optional=name not in {"Stream"}))
            found.append(Seam(module, f"{twin}.__aexit__", async_exit, role, optional=name not in {"Stream"}))
        return tuple(found)

    def begin(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:
        """The API and the request's facts, or None for a path that is not a model call."""
        options = args[1] if len(args) > 1 else kwargs["options"]
        api = self._route(options.method, options.url)
        if api is None:
            return None
        name, address, port = self._server(instance)
        body = options.json_data
        extra = options.extra_json
        if type(extra) is dict and extra:
            body = {**body, **extra} if isinstance(body, dict) else extra
        request = Request(api.operation, name, address=address, port=port, body=body)
        request.stream = bool(kwargs.get("stream"))
        with Contained(f"{self.library}.request"):
            api.request(body if isinstance(body, dict) else options, request)
        return api, request

    def finish(self, engine: Engine, call: Call, result: Any) -> Any:
        """End the call with the parsed answer's facts, or hand it to the stream."""
        api = call.api
        if hasattr(type(result), "__stream__"):
            self._take_stream(call, result)
            return result
        http = getattr(result, "http_response", None)
        if http is None and hasattr(result, "aiter_raw"):
            http = result  # `cast_to` was the HTTP client's own response class
        if http is None:
            with Contained(f"{self.library}.response"):
                call.response = api.response(result)
            engine.end(call)
        elif http.is_closed:
            with Contained(f"{self.library}.raw_response"):
                self._read_body(call, http)
            engine.end(call)
        else:
            self._take_body(call, result, http)
        return result

    def _read_body(self, call: Call, http: Any) -> None:
        media_type = http.headers.get("content-type", "")
        if call.request.stream and call.api.accumulator is not None and "json" not in media_type:
            reader = BytesAccumulator(call.api, call.api.accumulator(self._capture()), media_type, "")
            reader.add(http.content)
            call.response = reader.response()
        elif http.content:
            call.response = call.api.response(msgspec.json.decode(http.content))

    def _take_stream(self, call: Call, stream: Any) -> None:
        accumulator = call.api.accumulator
        if accumulator is None:
            msg = f"{call.request.operation} answered with a stream"
            raise TypeError(msg)
        state = StreamState(call, accumulator(self._capture()))
        _tap(stream, state)
        with _TAKE:
            state.parsed = True
            stream.response.stream = BodyTap(stream.response.stream, state)

    def _take_body(self, call: Call, result: Any, http: Any) -> None:
        headers = http.headers
        inner = call.api.accumulator(self._capture()) if call.api.accumulator is not None else None
        encoding = headers.get("content-encoding", "").strip().lower()
        reader = BytesAccumulator(call.api, inner, headers.get("content-type", ""), encoding)
        state = StreamState(call, reader)
        http.stream = BodyTap(http.stream, state)
        if call.request.stream and result is not http:
            self._watch_parse(call, result, state)

    def _watch_parse(self, call: Call, result: Any, state: StreamState) -> None:
        """When the caller parses the raw answer into a stream, tap that stream: its exceptions are what the caller sees."""
        # No reference to the answer from inside itself: a cycle would leave a dropped stream to the collector.
        weak, cls, capture = weakref.ref(result), type(result), self._capture

        def adopt(parsed: Any) -> Any:
            if hasattr(type(parsed), "__stream__") and call.api.accumulator is not None and not state.parsed:
                with _TAKE:
                    state.adopt(call.api.accumulator(capture()))
                    _tap(parsed, state)
            return parsed

        def parse(*args: Any, **kwargs: Any) -> Any:
            parsed = cls.parse(weak(), *args, **kwargs)
            return _later(parsed, adopt) if inspect.isawaitable(parsed) else adopt(parsed)

        result.parse = parse

    def _server(self, client: Any) -> tuple[str, str | None, int | None]:
        url = client.base_url
        known = self._servers.get(client)
        if known is not None and known[0] is url:
            return known[1:]
        host, port = url.host or None, url.port or {"https": 443, "http": 80}.get(url.scheme)
        name = next((self._by_class[c.__name__] for c in type(client).__mro__ if c.__name__ in self._by_class), None)
        server = (name or provider(host or "", url.port), host, port)
        self._servers[client] = (url, *server)
        return server


async def _later(awaitable: Any, adopt: Callable[[Any], Any]) -> Any:
    return adopt(await awaitable)


def _tap(stream: Any, state: StreamState) -> None:
    inner = stream._iterator  # noqa: SLF001 - the one place where the client's stream can be observed unchanged
    state.parsed = True
    stream._iterator = AsyncTap(inner, state) if hasattr(inner, "__anext__") else SyncTap(inner, state)  # noqa: SLF001


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
