# SPDX-License-Identifier: Apache-2.0
"""MCP, both majors, real processes: one span a request and side, one tree across the two, nothing else changed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import mcp_peers as peers
from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.core import runs
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(180)]

METHODS = [
    *("initialize", "tools/list", "tools/call add", "tools/call fail", "resources/list", "resources/read"),
    *("prompts/list", "prompts/get greet", "ping"),
]


async def use(session: Any) -> list[Any]:
    """Every kind of request, after the handshake."""
    return [
        await session.list_tools(),
        await session.call_tool("add", {"a": 1, "b": 2}),
        await session.call_tool("fail", {}),
        await session.list_resources(),
        await session.read_resource("note://one"),
        await session.list_prompts(),
        await session.get_prompt("greet", {"name": "Ada"}),
        await session.send_ping(),
    ]


def named(spans: list[ReadableSpan]) -> list[str]:
    return [span.name for span in spans if span.kind.name != "INTERNAL"]


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


@pytest.mark.parametrize("how", ["--instrument", "launched"])
def test_a_server_over_stdio_is_one_tree_with_its_client_and_of_the_same_run(how: str) -> None:
    async def main() -> tuple[list[Any], Any]:
        async with peers.stdio(how) as session:
            return await use(session), peers.told(await session.call_tool("where", {}))

    with capture() as captured:
        with run("coder") as coder:
            runs.current().cycle = 3  # type: ignore[union-attr]
            results, where = asyncio.run(main())
        spans = captured.spans()
    assert peers.text(results[1]) == "3"
    assert peers.is_error(results[2])
    assert where["run"] == coder.id
    assert where["cycle"] == 3
    clients = [span for span in spans if span.kind.name == "CLIENT"]
    assert named(clients) == [*METHODS, "tools/call where"]
    (root,) = (span for span in spans if span.name.startswith("invoke_agent"))
    assert {span.parent.span_id for span in clients if span.parent} == {root.context.span_id}  # type: ignore[union-attr]
    files = peers.ended()
    (theirs,) = (name for name in files if name.startswith(f"{coder.id}.") and name != f"{coder.id}.jsonl")
    servers = files[theirs]
    assert [(it["name"], it["kind"]) for it in servers] == [(span.name, "SERVER") for span in clients]
    assert [(it["trace_id"], it["parent_span_id"]) for it in servers] == [ids(span) for span in clients]
    assert {(it["attributes"][semconv.RUN_ID], it["attributes"][semconv.CYCLE]) for it in servers} == {(coder.id, 3)}
    assert where["trace"] == servers[-1]["trace_id"]
    failed = [it for it in servers if it["status"]["code"] == "ERROR"]
    assert [(it["name"], it["attributes"]["error.type"]) for it in failed] == [("tools/call fail", "tool_error")]
    assert set(files) == {theirs, f"{coder.id}.jsonl"}
    assert "secret-of-the-error" not in json.dumps(files)


def test_a_server_over_http_is_one_tree_and_no_run_id_reaches_it(tmp_path: Path) -> None:
    async def main(url: str) -> Any:
        async with peers.http(url) as session:
            await use(session)
            return peers.told(await session.call_tool("where", {}))

    there = tmp_path / "there"
    there.mkdir()
    with peers.http_server(there, "--instrument") as url, capture() as captured:
        with run("coder") as coder:
            where = asyncio.run(main(url))
        clients = [span for span in captured.spans() if span.kind.name == "CLIENT"]
    assert named(clients) == [*METHODS, "tools/call where"]
    facts = of(clients[-1])
    assert facts[semconv.NETWORK_TRANSPORT] == "tcp"
    assert (facts[semconv.SERVER_ADDRESS], facts[semconv.SERVER_PORT]) == ("127.0.0.1", int(url.split(":")[2][:-4]))
    servers = [it for spans in peers.ended(there / "logs/telemetry").values() for it in spans if it["kind"] == "SERVER"]
    assert [(it["trace_id"], it["parent_span_id"]) for it in servers] == [ids(span) for span in clients]
    assert where["run"] is None
    assert coder.id not in json.dumps(servers)


def test_ways_out_are_told_apart() -> None:
    async def main() -> None:
        async with peers.stdio() as session:
            await session.list_tools()
            assert peers.is_error(await session.call_tool("fail", {}))
            assert peers.is_error(await session.call_tool("invented_by_a_model", {}))
            with pytest.raises(Exception, match="Unknown prompt"):
                await session.get_prompt("nothing", {})
            task = asyncio.create_task(session.call_tool("slow", {"seconds": 60}))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(Exception, match=r"[Tt]imed out"):
                await session.call_tool("slow", {"seconds": 60}, read_timeout_seconds=peers.seconds(0.2))
            await session.call_tool("slow", {"seconds": 0})

    with capture() as captured:
        asyncio.run(main())
        spans = {span.name: [] for span in captured.spans()}
        for span in captured.spans():
            spans[span.name].append((span.status.status_code.name, of(span).get("error.type")))
            assert not span.status.description
        labels = [point.attributes[semconv.TOOL_NAME] for point in captured.points(semconv.EXECUTE_TOOL_DURATION)]
        counted = [point.count for point in captured.points(semconv.MCP_CLIENT_DURATION)]
    late = "-32001" if peers.MAJOR > 1 else "408"
    assert spans["tools/call fail"] == [("ERROR", "tool_error")]
    assert spans["tools/call invented_by_a_model"] == [("ERROR", "tool_error")]
    assert spans["tools/call slow"] == [("ERROR", "CancelledError"), ("ERROR", late), ("UNSET", None)]
    (prompt,) = spans["prompts/get nothing"]
    assert prompt[0] == "ERROR"
    assert prompt[1].lstrip("-").isdigit()
    assert sorted(labels) == ["fail", "other", "slow", "slow", "slow"]
    assert sum(counted) == 8


@pytest.mark.parametrize("options", [["--instrument"], []], ids=["with telemetry", "without"])
def test_what_a_server_asks_back_is_below_the_call_that_it_works_for(options: list[str]) -> None:
    seen: list[Any] = []

    async def sample(context: Any, params: Any) -> Any:
        seen.append(runs.current())
        return await peers.answer(context, params)

    async def main() -> None:
        async with peers.stdio(*options, sampling_callback=sample) as session:
            with run("coder") as coder:
                assert peers.text(await session.call_tool("ask", {"question": "?"})) == "yes"
            assert [it.id for it in seen] == [coder.id]

    with capture() as captured:
        asyncio.run(main())
        (asked,) = (span for span in captured.spans() if span.kind.name == "SERVER")
        (tool,) = (span for span in captured.spans() if span.name == "tools/call ask")
    assert asked.name == "sampling/createMessage"
    assert of(asked)[semconv.RUN_ID] == of(tool)[semconv.RUN_ID]
    theirs = {it["span_id"]: it for spans in peers.ended().values() for it in spans}
    above = f"{asked.parent.span_id:016x}" if asked.parent else ""
    if options:
        (mine, server) = theirs[above], theirs[theirs[above]["parent_span_id"]]
        assert [(it["kind"], it["name"]) for it in (mine, server)] == [
            ("CLIENT", "sampling/createMessage"),
            ("SERVER", "tools/call ask"),
        ]
        above = server["parent_span_id"]
    assert above == ids(tool)[1]


def test_the_environment_of_a_server_is_what_the_library_gives_it() -> None:
    async def main() -> Any:
        async with peers.stdio(env={"MINE": "1"}) as session:
            return peers.told(await session.call_tool("environment", {}))

    without = asyncio.run(main())
    with capture(), run("coder"):
        assert asyncio.run(main()) == without
    assert "MINE" in without
    assert not [name for name in without if name.startswith(("OTEL", "TRACEPARENT"))]


HELLO = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "plain", "version": "0"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}},
]


def spoken(*options: str) -> list[dict[str, Any]]:
    """What the server says on stdout to a client of no library, line by line."""
    with subprocess.Popen(
        [sys.executable, str(peers.SERVER), *options, "stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said: list[str] = []
        for message in HELLO:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            if "id" in message:
                said.append(process.stdout.readline())
        rest, _ = process.communicate(timeout=60)
    return [json.loads(line) for line in [*said, *rest.splitlines()]]


def test_stdout_carries_the_protocol_alone_and_a_peer_without_telemetry_is_served() -> None:
    plain, ours = spoken(), spoken("--instrument")
    assert ours == plain
    assert len(ours) == 2
    (spans,) = peers.ended().values()
    assert [(it["kind"], it["name"], it["parent_span_id"]) for it in spans] == [
        ("SERVER", "initialize", None),
        ("SERVER", "tools/call add", None),
    ]
