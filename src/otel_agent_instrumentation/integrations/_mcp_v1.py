# SPDX-License-Identifier: Apache-2.0
"""mcp 1.x: sessions over pydantic models, a responder for each request that comes in. It makes no spans of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wrapt

from .. import semconv
from ..core.contain import Contained
from ..core.engine import current_call
from . import _mcp_facts as facts
from . import _mcp_wire as wire
from ._mcp_call import receiver, sender
from ._mcp_transports import over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.engine import Engine
    from ..core.spec import Api, Call, Request

_META = Contained("mcp.meta")
_RESPOND = Contained("mcp.respond")


class _WithMeta(wrapt.ObjectProxy):  # type: ignore[misc]
    """The caller's request, which stays as it is: only what is written of it has our entries in `_meta`."""

    def __init__(self, request: Any, entries: Mapping[str, Any]) -> None:
        super().__init__(request)  # pyright: ignore[reportUnknownMemberType]
        self._self_request = request
        self._self_entries = entries

    def model_dump(self, *args: Any, **kwargs: Any) -> Any:
        data: Any = self._self_request.model_dump(*args, **kwargs)
        with _META:
            data["params"] = wire.with_entries(data.get("params"), self._self_entries)
        return data


def _request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs["request"]


def _sent(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request]:
    root: Any = _request(args, kwargs).root
    api, request = facts.sent(root.method, root.params, over(getattr(instance, "_write_stream", None)))
    request.params[semconv.JSONRPC_REQUEST_ID] = str(instance._request_id)  # noqa: SLF001 - the one it is about to use
    return api, request


def _amend(
    call: Call, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    transport = over(getattr(instance, "_write_stream", None))
    entries = {**wire.trace_of(call), **wire.run_of(call, transport)}
    if not entries:
        return args, kwargs
    request = _WithMeta(_request(args, kwargs), entries)
    return ((request, *args[1:]), kwargs) if args else (args, {**kwargs, "request": request})


send = sender(_sent, _amend)


def _responder(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("responder", kwargs.get("message"))


def _received(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request]:  # noqa: ARG001 - the engine's signature
    responder = _responder(args, kwargs)
    root: Any = responder.request.root
    api, request = facts.received(root.method, root.params, _transport(responder))
    request.params[semconv.JSONRPC_REQUEST_ID] = str(responder.request_id)
    request.body = responder  # `respond` knows its call by it
    return api, request


def _transport(responder: Any) -> Any:
    return over(getattr(responder._session, "_write_stream", None))  # noqa: SLF001 - it has no other name


def _initialize(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:
    # The others are answered by the server's `_handle_request`.
    is_it = _responder(args, kwargs).request.root.method == "initialize"
    return _received(instance, args, kwargs) if is_it else None


def _place(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - one signature
    responder = _responder(args, kwargs)
    return wire.place(responder.request_meta, _transport(responder))


def _place_asked(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wire.place(_responder(args, kwargs).request_meta, None, instance)


def _end(engine: Engine, call: Call, result: Any) -> Any:
    engine.end(call)
    return result


def _end_handled(engine: Engine, call: Call, result: Any) -> Any:
    if call.response is None and call.error_type is None:
        # The client took its request back: the library has swallowed the cancellation.
        call.error_type = "CancelledError"
    engine.end(call)
    return result


handle = receiver(_received, _place, _end_handled)
handshake = receiver(_initialize, _place, _end)
asked = receiver(_received, _place_asked, _end)


def respond(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Read what a request is answered with."""
    with _RESPOND:
        call = current_call()
        if call is not None and call.library == facts.NAME and call.request.body is instance:
            answer: Any = args[0] if args else kwargs["response"]
            code = getattr(answer, "code", None)
            if type(code) is int:
                facts.refused(call, code)
            else:
                call.response = facts.NO_RESPONSE
                facts.answered(call, getattr(answer, "root", answer))
    return wrapped(*args, **kwargs)
