# SPDX-License-Identifier: Apache-2.0
"""MCP's other ways: SSE, what a server asks its client back over each transport, and the newest revision."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

import mcp_peers as peers
from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(180)]


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def servers(folder: Path) -> list[dict[str, Any]]:
    """The spans of a server that is gone."""
    return [span for spans in peers.ended(folder / "logs/telemetry").values() for span in spans]


def chain(span_id: str | None, spans: dict[str, dict[str, Any]]) -> list[str]:
    """The kinds and names from a span up to the first that is not among ``spans``."""
    found: list[str] = []
    while span_id in spans:
        span = spans[span_id]
        found.append(f"{span['kind']} {span['name']}")
        span_id = span["parent_span_id"]
    return found


@pytest.mark.parametrize("by", ["http", "sse"])
def test_what_is_asked_back_keeps_its_parent(by: str, tmp_path: Path) -> None:
    if peers.MAJOR == 1 and by == "http":
        pytest.skip("needs: package mcp>=2")  # 1.8 never answers it

    async def main(url: str) -> list[str]:
        callbacks = {"sampling_callback": peers.answer, **elicits}
        async with peers.http(url, **callbacks) as session:
            with run("coder"):
                asked = [await session.call_tool("ask", {"question": "?"})]
                if elicits:
                    asked.append(await session.call_tool("confirm", {}))
                return [peers.text(one) for one in asked]

    known = hasattr(import_module("mcp.types"), "ElicitResult") and hasattr(_context(), "elicit")
    elicits: dict[str, Any] = {"elicitation_callback": peers.agree} if known else {}
    folder = tmp_path / "there"
    folder.mkdir()
    with peers.http_server(folder, "--instrument", by=by) as url, capture() as captured:
        assert asyncio.run(main(url)) == ["yes", "accept"][: 1 + known]
        spans = captured.spans()
    calls = {span.name: span for span in spans if span.kind.name == "CLIENT"}
    asked = {span.name: span for span in spans if span.kind.name == "SERVER"}
    pairs = {"sampling/createMessage": "tools/call ask", "elicitation/create": "tools/call confirm"}
    assert set(asked) == set([*pairs][: 1 + known])
    theirs = {span["span_id"]: span for span in servers(folder)}
    for name, span in asked.items():
        assert span.parent is not None
        assert span.parent.trace_id == calls[pairs[name]].context.trace_id  # type: ignore[union-attr]
        above = f"{span.parent.span_id:016x}"
        assert chain(above, theirs) == [f"CLIENT {name}", f"SERVER {pairs[name]}"]
        outermost = theirs[theirs[above]["parent_span_id"]]
        assert outermost["parent_span_id"] == ids(calls[pairs[name]])[1]
        assert span.attributes is not None
        assert calls[pairs[name]].attributes is not None
        assert span.attributes[semconv.RUN_ID] == calls[pairs[name]].attributes[semconv.RUN_ID]  # type: ignore[index]


def _context() -> Any:
    return import_module("mcp.server.mcpserver" if peers.MAJOR > 1 else "mcp.server.fastmcp").Context


@pytest.mark.skipif(peers.MAJOR < 2, reason="needs: package mcp>=2")
def test_the_newest_revision_is_one_tree(tmp_path: Path) -> None:
    async def main(url: str) -> str:
        async with import_module("mcp").Client(url, mode="auto") as client:
            assert peers.text(await client.call_tool("add", {"a": 1, "b": 2})) == "3"
            return str(client.protocol_version)

    folder = tmp_path / "there"
    folder.mkdir()
    with peers.http_server(folder, "--instrument") as url, capture() as captured:
        with run("coder"):
            version = asyncio.run(main(url))
        calls = [span for span in captured.spans() if span.kind.name == "CLIENT"]
    assert version >= "2026-07-28"
    (call,) = [span for span in calls if span.name == "tools/call add"]
    assert call.attributes is not None
    assert call.attributes[semconv.MCP_PROTOCOL_VERSION] == version
    (server,) = [span for span in servers(folder) if span["name"] == "tools/call add"]
    assert (server["trace_id"], server["parent_span_id"]) == ids(call)
    assert server["attributes"][semconv.MCP_PROTOCOL_VERSION] == version
    assert "initialize" not in {span.name for span in calls}
