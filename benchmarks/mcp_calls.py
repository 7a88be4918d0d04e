# SPDX-License-Identifier: Apache-2.0
"""What an MCP tool call costs over the unpatched one: over stdio and HTTP to another process, and in memory.

To another process the client's side alone is ours; in memory both sides are, and a call is two spans. Blocks
take turns, and between them the library is unpatched. CPU time of this process, of the server's (which reads the
`traceparent` that it is sent), of both (the whole call), and wall time (what the caller waits).
"""

from __future__ import annotations

import asyncio
import gc
import socket
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_agent_instrumentation.core import patching
from otel_agent_instrumentation.integrations import mcp as of_mcp

from . import variants

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAIRS = 30
CALLS = 60
WARMING = 10
_FIGURES = ("CPU of this process", "CPU of the server", "CPU of both", "wall")
SERVER = Path(__file__).resolve().parent.parent / "tests" / "tools" / "mcp_server.py"


class Ours(variants.Ours):
    """This package as the launcher builds it, for MCP. Switched off, it is off the library, too."""

    only = ("mcp",)

    def on(self) -> None:
        """Patch the library."""
        patching.apply(of_mcp.INTEGRATION)
        super().on()

    def off(self) -> None:
        """Put its own functions back."""
        super().off()
        patching.revert(of_mcp.INTEGRATION.name)


def _children() -> float:
    """CPU seconds of the processes that this one started: the server's. 0 where the system does not tell."""
    spent = 0
    for listed in Path("/proc/self/task").glob("*/children"):
        for child in listed.read_text().split():
            for task in Path(f"/proc/{child}/task").glob("*/schedstat"):
                spent += int(task.read_text().split()[0])
    return spent / 1e9


async def _block(session: Any, variant: variants.Variant) -> tuple[float, ...]:
    """CPU of this process, of the server's, of both, and what the caller waits: seconds for one call."""
    variant.on()
    for _ in range(WARMING):
        await session.call_tool("add", {"a": 1, "b": 2})
    variant.flush()
    gc.collect()
    there, cpu, wall = _children(), time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        await session.call_tool("add", {"a": 1, "b": 2})
    waited = time.perf_counter() - wall
    variant.flush()
    mine, theirs = time.process_time() - cpu, _children() - there
    variant.off()
    return mine / CALLS, theirs / CALLS, (mine + theirs) / CALLS, waited / CALLS


async def _measure(open_session: Callable[[AsyncExitStack], Awaitable[Any]], ours: Ours) -> None:
    """Unpatched, ours, ours, unpatched, again and again: a drift of the machine cancels out."""
    plain = variants.Variant()
    found: list[list[tuple[float, float]]] = [[] for _ in _FIGURES]
    async with AsyncExitStack() as stack:
        ours.on()  # what leads to the peer is noted when it is opened
        session = await open_session(stack)
        await session.list_tools()
        ours.off()
        for _ in range(PAIRS):
            before, one, two, after = [await _block(session, who) for who in (plain, ours, ours, plain)]
            for at, values in enumerate(found):
                values.append(((before[at] + after[at]) / 2, (one[at] + two[at]) / 2))
    for what, values in zip(_FIGURES, found, strict=True):
        bare = statistics.median(value[0] for value in values)
        low, more, high = statistics.quantiles([with_us - without for without, with_us in values], n=4)
        if bare:
            print(
                f"    {what:20} {bare * 1e6:7.1f} us, ours adds {more * 1e6:6.1f} us"
                f" ({low * 1e6:.1f} to {high * 1e6:.1f})  {more / bare:+6.1%}"
            )


async def _stdio(stack: AsyncExitStack) -> Any:
    import mcp

    server = mcp.StdioServerParameters(command=sys.executable, args=[str(SERVER), "stdio"])
    streams = await stack.enter_async_context(mcp.stdio_client(server))
    session = await stack.enter_async_context(mcp.ClientSession(*streams))
    await session.initialize()
    return session


async def _http(stack: AsyncExitStack) -> Any:
    import mcp
    from mcp.client.streamable_http import streamable_http_client

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    process = await asyncio.create_subprocess_exec(sys.executable, str(SERVER), "http", str(port))
    stack.push_async_callback(process.wait)
    stack.callback(process.terminate)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            await asyncio.sleep(0.05)
    streams = await stack.enter_async_context(streamable_http_client(f"http://127.0.0.1:{port}/mcp"))
    session = await stack.enter_async_context(mcp.ClientSession(streams[0], streams[1]))
    await session.initialize()
    return session


async def _memory(stack: AsyncExitStack) -> Any:
    import mcp

    sys.path.insert(0, str(SERVER.parent))
    from mcp_server import server  # pyright: ignore[reportMissingImports]

    return await stack.enter_async_context(mcp.Client(server, mode="legacy"))


def main() -> None:
    """Print both."""
    ours = Ours()
    print(f"\nper MCP tool call over the unpatched one (median of {PAIRS} pairs of blocks, and quartiles)")
    for name, opened in (
        ("stdio, the client's side", _stdio),
        ("HTTP, the client's side", _http),
        ("in memory, both sides", _memory),
    ):
        print(f"  {name}")
        asyncio.run(_measure(opened, ours))
    ours.close()
