# SPDX-License-Identifier: Apache-2.0
"""What an MCP tool call costs over the unpatched one: over stdio to a server in a process of its own, and in memory.

Over stdio the client's side alone is ours; in memory both sides are, and a call is two spans. CPU time of this process
(over stdio also wall time, which the server's process is part of), blocks that take turns.
"""

from __future__ import annotations

import asyncio
import gc
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


async def _block(session: Any, variant: variants.Variant) -> tuple[float, float]:
    variant.on()
    await session.call_tool("add", {"a": 1, "b": 2})
    variant.flush()
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        await session.call_tool("add", {"a": 1, "b": 2})
    variant.flush()
    spent = (time.process_time() - cpu) / CALLS, (time.perf_counter() - wall) / CALLS
    variant.off()
    return spent


async def _measure(open_session: Callable[[AsyncExitStack], Awaitable[Any]], ours: Ours) -> None:
    found: list[list[float]] = []
    async with AsyncExitStack() as stack:
        session = await open_session(stack)
        await session.list_tools()
        for _ in range(ROUNDS):
            bare: list[tuple[float, float]] = []
            with_us: list[tuple[float, float]] = []
            for _ in range(BLOCKS):
                bare.append(await _block(session, variants.Variant()))
                with_us.append(await _block(session, ours))
            middle = [[statistics.median(part) for part in zip(*blocks, strict=True)] for blocks in (bare, with_us)]
            found.append([*middle[0], *middle[1]])
    cpu, wall, our_cpu, our_wall = (statistics.median(part) for part in zip(*found, strict=True))
    ratios = [[row[at + 2] / row[at] - 1 for row in found] for at in (0, 1)]
    print(
        f"    CPU {cpu * 1e6:7.1f} us, ours {our_cpu * 1e6:7.1f} us ({statistics.median(ratios[0]):+.1%})"
        f"   wall {wall * 1e6:7.1f} us, ours {our_wall * 1e6:7.1f} us ({statistics.median(ratios[1]):+.1%})"
    )


async def _stdio(stack: AsyncExitStack) -> Any:
    import mcp

    server = mcp.StdioServerParameters(command=sys.executable, args=[str(SERVER), "stdio"])
    streams = await stack.enter_async_context(mcp.stdio_client(server))
    session = await stack.enter_async_context(mcp.ClientSession(*streams))
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
    for name, opened in (("stdio, the client's side", _stdio), ("in memory, both sides", _memory)):
        print(f"  {name}")
        asyncio.run(_measure(opened, ours))
    ours.close()
