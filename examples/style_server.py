# SPDX-License-Identifier: Apache-2.0
"""An MCP server with one tool, over stdio, which says nothing of telemetry but for `@tool`.

The demo's agent starts it so, which makes what it does a part of the agent's trace:

    opentelemetry-instrument python examples/style_server.py
"""

from __future__ import annotations

import re

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from otel_agent_instrumentation import tool

server = MCPServer("style", log_level="CRITICAL")
RULES = {
    re.compile(r"re\.(match|search|fullmatch)\([^)]*\)\["): "what `re` returns may be None: test it first",
    re.compile(r".{100}"): "a line of 100 characters or more",
}


@tool
def findings(content: str) -> list[str]:
    """The rules that are broken, each with its line."""
    return [
        f"line {number}: {message}"
        for number, line in enumerate(content.splitlines(), 1)
        for rule, message in RULES.items()
        if rule.search(line)
    ]


@server.tool()
def check_style(content: str) -> str:
    """Check a Python file; fails where a rule is broken."""
    found = findings(content)
    if found:
        raise ToolError("; ".join(found))
    return "no findings"


if __name__ == "__main__":
    server.run("stdio")
