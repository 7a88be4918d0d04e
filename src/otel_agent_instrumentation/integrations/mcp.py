# SPDX-License-Identifier: Apache-2.0
"""mcp 1.8 to 2.x: every request of a client and of a server, over stdio, streamable HTTP, SSE and in memory.

One span a request and side, linked through `_meta` (`traceparent`, as SEP-414 and the convention say). mcp >= 2 makes
spans of its own: they stand down, because two spans a side would double every tool call, they have no metrics, tell a
cancelled call like any failure, and put the peer's error message on the span. `OTEL_AGENT_DISABLED=mcp` gives them
back. See docs/mcp.md.
"""

from __future__ import annotations

from importlib import metadata

from ..core.patching import Integration, Seam
from . import _mcp_transports as transports
from . import _mcp_v1 as v1
from . import _mcp_v2 as v2

_REQUESTS, _ANSWERS, _PEER = "requests", "answers of a server", "the peer's address, run and cycle for own servers"
_ANSWERED = "outcomes of a server's answers"

_V1 = (
    Seam("mcp.shared.session", "BaseSession.send_request", v1.send, _REQUESTS),
    Seam("mcp.shared.session", "RequestResponder.respond", v1.respond, _ANSWERED),
    Seam("mcp.server.lowlevel.server", "Server._handle_request", v1.handle, _ANSWERS),
    Seam("mcp.server.session", "ServerSession._received_request", v1.handshake, "handshakes"),
    Seam("mcp.client.session", "ClientSession._received_request", v1.asked, "a server's requests"),
)
_V2 = (
    Seam("mcp.shared.jsonrpc_dispatcher", "JSONRPCDispatcher.send_raw_request", v2.send, _REQUESTS),
    Seam("mcp.shared.direct_dispatcher", "DirectDispatcher.send_raw_request", v2.send, _REQUESTS),
    Seam("mcp.server.runner", "ServerRunner._on_request", v2.handle, _ANSWERS),
    Seam("mcp.client.session", "ClientSession._on_request", v2.asked, "a server's requests"),
    Seam(
        "mcp.shared.jsonrpc_dispatcher",
        "inject_trace_context",
        v2.write_trace,
        "a quicker writing of `traceparent`",
        optional=True,
    ),
    *(
        Seam(module, "otel_span", v2.own_span, "standing down of the library's own span", optional=True)
        for module in ("mcp.shared.jsonrpc_dispatcher", "mcp.server._otel")
    ),
)


def _seams() -> tuple[Seam, ...]:
    try:
        old = metadata.version("mcp").startswith("1.")
    except metadata.PackageNotFoundError:  # a copy without its metadata: what is installed today
        old = False
    return _V1 if old else _V2


# Where each is defined, and where the library has imported it by name.
_OPENED = {
    "stdio_client": (transports.stdio_client, ("mcp.client.stdio", "mcp", "mcp.client.client")),
    "sse_client": (transports.http_client, ("mcp.client.sse", "mcp.client.session_group")),
    "streamablehttp_client": (transports.http_client, ("mcp.client.streamable_http", "mcp.client.session_group")),
    "streamable_http_client": (
        transports.http_client,
        ("mcp.client.streamable_http", "mcp.client.session_group", "mcp.client.client"),
    ),
    "stdio_server": (
        transports.stdio_server,
        ("mcp.server.stdio", "mcp", "mcp.server.fastmcp.server", "mcp.server.mcpserver.server"),
    ),
}

INTEGRATION = Integration(
    name="mcp",
    distribution="mcp",
    seams=(
        *_seams(),
        *(
            Seam(module, name, wrapper, _PEER, optional=True)
            for name, (wrapper, modules) in _OPENED.items()
            for module in modules
        ),
    ),
)
