# SPDX-License-Identifier: Apache-2.0
"""An MCP server as a program, for mcp 1.x and 2.x: ``python mcp_server.py stdio`` or ``http|sse <port>``.

With ``--instrument`` first it instruments itself, as the launcher would.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module, metadata
from typing import Any

if sys.argv[1:2] == ["--instrument"]:
    sys.argv.pop(1)
    from otel_agent_instrumentation import instrument

    instrument()


import anyio
from mcp import types
from pydantic import BaseModel

MAJOR = int(metadata.version("mcp").partition(".")[0])
high: Any = import_module("mcp.server.mcpserver" if MAJOR > 1 else "mcp.server.fastmcp")
server: Any = (high.MCPServer if MAJOR > 1 else high.FastMCP)("tester")


@server.tool()
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@server.tool()
def fail() -> str:
    """Fail."""
    msg = "no such row: secret-of-the-error"
    raise ValueError(msg)


@server.tool()
async def slow(seconds: float) -> str:
    """Take a while."""
    await anyio.sleep(seconds)
    return "done"


@server.tool()
def environment() -> str:
    """What the process was started with."""
    return json.dumps(sorted(os.environ))


@server.tool()
def where() -> str:
    """The run and the trace of this call, as code below it sees them."""
    from opentelemetry import trace

    from otel_agent_instrumentation.core import runs

    run, ids = runs.current(), trace.get_current_span().get_span_context()
    found = {"run": run.id if run else None, "cycle": run.cycle if run else None, "trace": f"{ids.trace_id:032x}"}
    return json.dumps(found)


async def ask(question: str, ctx: Any) -> str:
    """Have the client's model answer."""
    content = types.TextContent(type="text", text=question)
    answer = await ctx.session.create_message([types.SamplingMessage(role="user", content=content)], max_tokens=10)
    return str(getattr(answer.content, "text", ""))


# mcp 1.8 knows the parameter by the very class, not by its name in a string.
ask.__annotations__["ctx"] = high.Context
server.tool()(ask)


class Approval(BaseModel):
    """What a person is asked for."""

    yes: bool


async def confirm(ctx: Any) -> str:
    """Have the client's person agree."""
    answer = await ctx.elicit("Go on?", Approval)
    return str(answer.action)


confirm.__annotations__["ctx"] = high.Context
if hasattr(high.Context, "elicit"):  # mcp 1.10
    server.tool()(confirm)


@server.resource("note://one")
def note() -> str:
    """A note."""
    return "the note"


@server.prompt()
def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}."


def main() -> None:
    """Serve until the client leaves."""
    if sys.argv[1] == "stdio":
        server.run("stdio")
        return
    import uvicorn

    app = server.sse_app() if sys.argv[1] == "sse" else server.streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")


if __name__ == "__main__":
    main()
