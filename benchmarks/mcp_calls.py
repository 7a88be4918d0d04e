# SPDX-License-Identifier: Apache-2.0
"""What an MCP tool call costs over the unpatched one: over stdio and HTTP to another process, and in memory.

To another process the client's side alone is ours; in memory both sides are, and a call is two spans. Blocks
take turns. CPU time of this process, of this and the server's together (the whole call), and wall time (what the
caller waits).
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

from . import variants

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 5
BLOCKS = 12
CALLS = 60
SERVER = Path(__file__).resolve().parent.parent / "tests" / "tools" / "mcp_server.py"


class Ours(variants.Ours):
    """This package as the launcher builds it, for MCP."""

    only = ("mcp",)


def _children() -> float:
    """CPU seconds of the processes that this one started: the server's. 0 where the system does not tell."""
    spent = 0
    for listed in Path("/proc/self/task").glob("*/children"):
        for child in listed.read_text().split():
            for task in Path(f"/proc/{child}/task").glob("*/schedstat"):
                spent += int(task.read_text().split()[0])
    return spent / 1e9


async def _block(session: Any, variant: variants.Variant) -> tuple[float, ...]:
    variant.on()
    await session.call_tool("add", {"a": 1, "b": 2})
    variant.flush()
    gc.collect()
    there, cpu, wall = _children(), time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        await session.call_tool("add", {"a": 1, "b": 2})
    variant.flush()
    mine, waited = time.process_time() - cpu, time.perf_counter() - wall
    variant.off()
    return mine / CALLS, (mine + _children() - there) / CALLS, waited / CALLS


async def _measure(open_session: Callable[[AsyncExitStack], Awaitable[Any]], ours: Ours) -> None:
    found: list[list[tuple[float, ...]]] = []
    async with AsyncExitStack() as stack:
        session = await open_session(stack)
        await session.list_tools()
        for _ in range(ROUNDS):
            blocks: list[list[tuple[float, ...]]] = [[], []]
            for _ in range(BLOCKS):
                blocks[0].append(await _block(session, variants.Variant()))
                blocks[1].append(await _block(session, ours))
            found.append([tuple(map(statistics.median, zip(*some, strict=True))) for some in blocks])
    for at, what in enumerate(("CPU of this process", "CPU of both", "wall")):
        bare, with_us = (statistics.median(row[which][at] for row in found) for which in (0, 1))
        more = statistics.median(row[1][at] / row[0][at] - 1 for row in found)
        print(f"    {what:20} {bare * 1e6:7.1f} us, ours {with_us * 1e6:7.1f} us  {more:+6.1%}")


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
    print(f"\nper MCP tool call over the unpatched one (median of {ROUNDS} interleaved rounds)")
    for name, opened in (
        ("stdio, the client's side", _stdio),
        ("HTTP, the client's side", _http),
        ("in memory, both sides", _memory),
    ):
        print(f"  {name}")
        asyncio.run(_measure(opened, ours))
    ours.close()
