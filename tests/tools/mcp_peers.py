# SPDX-License-Identifier: Apache-2.0
"""Real MCP peers: a client session over stdio or streamable HTTP, and the server program in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from importlib import import_module, metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if util.find_spec("mcp") is None:
    pytest.skip("needs: package mcp", allow_module_level=True)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

MAJOR = int(metadata.version("mcp").partition(".")[0])
SERVER = Path(__file__).parent / "mcp_server.py"
# The rows' own settings do not reach a stdio server: it gets six variables only.
QUIET = {"OTEL_AGENT_SUMMARY": "false"}


def seconds(number: float) -> Any:
    """A time-out, as each major wants it."""
    return number if MAJOR > 1 else timedelta(seconds=number)


@asynccontextmanager
async def stdio(*options: str, env: dict[str, str] | None = None, **callbacks: Any) -> AsyncGenerator[Any]:
    """A session with a server that this process starts. ``options``: `--instrument`, or `launched` as the docs say."""
    import mcp

    command = [sys.executable, str(SERVER), *(option for option in options if option != "launched"), "stdio"]
    if "launched" in options:
        command.insert(0, str(Path(sys.executable).with_name("opentelemetry-instrument")))
    server = mcp.StdioServerParameters(command=command[0], args=command[1:], env=env or QUIET)
    async with (
        mcp.stdio_client(server) as (reads, writes),
        mcp.ClientSession(reads, writes, **callbacks) as session,
    ):
        await session.initialize()
        yield session


@asynccontextmanager
async def http(url: str, **callbacks: Any) -> AsyncGenerator[Any]:
    """A session with a server at ``url``: by SSE if that ends so, else by streamable HTTP."""
    import mcp

    client: Any = import_module("mcp.client.sse" if url.endswith("/sse") else "mcp.client.streamable_http")
    name = next(n for n in ("sse_client", "streamable_http_client", "streamablehttp_client") if n in vars(client))
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(getattr(client, name)(url))
        session = await stack.enter_async_context(mcp.ClientSession(streams[0], streams[1], **callbacks))
        await session.initialize()
        yield session


@contextmanager
def http_server(folder: Path, *options: str, by: str = "http") -> Generator[str]:
    """The server program on loopback, ``folder`` its working directory, ``by`` http or sse; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SERVER), *options, by, str(port)], cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the server is gone"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/{'sse' if by == 'sse' else 'mcp'}"
    finally:
        process.terminate()
        process.wait(30)


def text(result: Any) -> str:
    """The text of a tool's result."""
    return result.content[0].text


def told(result: Any) -> dict[str, Any]:
    """The JSON in it."""
    return json.loads(text(result))


def is_error(result: Any) -> bool:
    """Whether a tool's result says that it is an error."""
    return bool(getattr(result, "isError", None) or getattr(result, "is_error", None))


async def answer(context: Any, params: Any) -> Any:
    """A sampling callback: the client's model says yes."""
    from mcp import types

    return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(type="text", text="yes"))


async def agree(context: Any, params: Any) -> Any:
    """An elicitation callback: the person says yes."""
    from mcp import types

    return types.ElicitResult(action="accept", content={"yes": True})


def ended(folder: str | Path = "logs/telemetry") -> dict[str, list[dict[str, Any]]]:
    """The spans in the ledger, file by file."""
    return {
        file.name: [
            line["payload"]
            for text in file.read_text().splitlines()
            if (line := json.loads(text))["event"] == "span.ended"
        ]
        for file in sorted(Path(folder).glob("*.jsonl"))
    }
