# SPDX-License-Identifier: Apache-2.0
"""mcp 2.x: dispatchers over JSON objects. Its own spans stand down; its own writing of `traceparent` stays.

`JSONRPCDispatcher.send_raw_request` writes the current context into `_meta` itself: ours is current there. Its own
spans (scope `mcp-python-sdk`) come from `otel_span`, which gives out a span that records nothing while ours are made.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import INVALID_SPAN

from .. import semconv
from ..core.contain import Contained
from ..core.context import current, ids_in
from ..core.engine import current_call, engine
from ..core.suppress import suppressed
from . import _mcp_facts as facts
from . import _mcp_wire as wire
from ._mcp_call import receiver, sender
from ._mcp_transports import over

if TYPE_CHECKING:
    from ..core.spec import Api, Call, Request

_OWN = Contained("mcp.own_span")
_WRITE = Contained("mcp.trace")
_VERSION = "mcp-protocol-version"


def _asked(args: tuple[Any, ...], kwargs: dict[str, Any], first: int) -> tuple[str, Any]:
    """Method and parameters, which stand at ``first``."""
    method = args[first] if len(args) > first else kwargs["method"]
    return method, args[first + 1] if len(args) > first + 1 else kwargs.get("params")


def _sent(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:
    method, params = _asked(args, kwargs, 0)
    if method == facts.LISTEN:
        return None
    api, request = facts.sent(method, params, over(getattr(instance, "_write_stream", None)))
    options: Any = args[2] if len(args) > 2 else kwargs.get("opts")  # noqa: PLR2004 - method, params, opts
    version = facts.read(facts.read(options, "headers"), _VERSION)
    if isinstance(version, str):
        request.params[semconv.MCP_PROTOCOL_VERSION] = version
    return api, request


def _amend(
    call: Call, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    entries = wire.run_of(call, over(getattr(instance, "_write_stream", None)))
    if not entries:
        return args, kwargs
    method, params = _asked(args, kwargs, 0)
    rest = {key: value for key, value in kwargs.items() if key not in {"method", "params"}}
    return (method, wire.with_entries(params, entries), *args[2:]), rest


def _received(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Api, Request] | None:
    method, params = _asked(args, kwargs, 1)
    if method == facts.LISTEN:
        return None
    dctx: Any = args[0] if args else kwargs["dctx"]
    api, request = facts.received(method, params, over(_stream(dctx)))
    if dctx.request_id is not None:
        request.params[semconv.JSONRPC_REQUEST_ID] = str(dctx.request_id)
    version = getattr(getattr(instance, "connection", None), "protocol_version", None)
    if isinstance(version, str):
        request.params[semconv.MCP_PROTOCOL_VERSION] = version
    return api, request


def _stream(dctx: Any) -> Any:
    """The stream that the answer is written to, below the context that a 2026-07-28 connection puts around it."""
    below = getattr(dctx, "_inner", dctx)
    return getattr(getattr(below, "_dispatcher", None), "_write_stream", None)


def _place(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - one signature
    _, params = _asked(args, kwargs, 1)
    return wire.place(facts.read(params, "_meta"), over(_stream(args[0] if args else kwargs["dctx"])))


def _place_asked(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _, params = _asked(args, kwargs, 1)
    return wire.place(facts.read(params, "_meta"), None, instance._dispatcher)  # noqa: SLF001 - it has no other name


send = sender(_sent, _amend)
handle = receiver(_received, _place)
asked = receiver(_received, _place_asked)


def write_trace(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    """The library's `inject_trace_context`: where the usual propagators would write our span's ids, written at once."""
    written = False
    with _WRITE:
        call, context = current_call(), current()
        if call is not None and call.library == facts.NAME and call.ids is ids_in(context) and wire.is_usual(context):
            args[0].update(wire.trace_of(call))
            written = True
    return None if written else wrapped(*args, **kwargs)


def own_span(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - wrapt's signature
    """The library's own span: none while ours are made, one where they are not. What it knows is told by ours."""
    own = False  # where we cannot tell, it stands down: it would tell the request a second time
    with _OWN:
        told: dict[str, Any] = kwargs.get("attributes") or {}
        own = not engine.enabled or suppressed(current()) or told.get(semconv.MCP_METHOD_NAME) == facts.LISTEN
        call = current_call()
        if not own and call is not None and call.library == facts.NAME and semconv.JSONRPC_REQUEST_ID in told:
            call.request.params[semconv.JSONRPC_REQUEST_ID] = told[semconv.JSONRPC_REQUEST_ID]
    return wrapped(*args, **kwargs) if own else nullcontext(INVALID_SPAN)
