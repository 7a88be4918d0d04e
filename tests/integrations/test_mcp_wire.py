# SPDX-License-Identifier: Apache-2.0
"""What we put on an MCP wire, what stands beside us in mcp 2, and what we leave as it is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import importlib
import inspect
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import default_setter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import AnyUrl

import mcp_peers as peers
from otel_agent_instrumentation import integrations, run, semconv, suppress
from otel_agent_instrumentation.core import patching
from otel_agent_instrumentation.core.engine import async_wrapper
from otel_agent_instrumentation.core.spec import Api, Request, Response
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from otel_agent_instrumentation.testing.capture import Captured

pytestmark = pytest.mark.matrix

HELLO = {
    "protocolVersion": "2024-11-05",
    "capabilities": {},
    "serverInfo": {"name": "plain", "version": "0"},
}
DONE = {"content": [{"type": "text", "text": "done, api_key=sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"}]}


@asynccontextmanager
async def plain_peer(done: dict[str, Any] = DONE) -> AsyncGenerator[tuple[Any, list[Any]]]:
    """A session with a peer of no library, which never sends `_meta`; and what it was sent."""
    import mcp
    from mcp.shared.message import SessionMessage

    types: Any = importlib.import_module("mcp.types" if peers.MAJOR == 1 else "mcp_types")
    there, reads = anyio.create_memory_object_stream[Any](10)
    writes, here = anyio.create_memory_object_stream[Any](10)
    sent: list[Any] = []

    async def serve() -> None:
        async for item in here:
            message = getattr(item.message, "root", item.message)
            if getattr(message, "id", None) is None:
                continue
            sent.append(message.params)
            result = HELLO if message.method == "initialize" else done if message.method == "tools/call" else {}
            if message.method == "tools/list":
                result = {"tools": [{"name": "add", "inputSchema": {"type": "object"}}]}
            reply = types.JSONRPCResponse(jsonrpc="2.0", id=message.id, result=result)
            await there.send(SessionMessage(types.JSONRPCMessage(reply) if peers.MAJOR == 1 else reply))

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        async with mcp.ClientSession(reads, writes) as session:
            await session.initialize()
            yield session, sent
        group.cancel_scope.cancel()
    for stream in (there, reads, writes, here):
        stream.close()


async def used(session: Any) -> Any:
    await session.list_tools()
    return await session.call_tool("add", {"a": 1, "password": "hunter2"})


def test_a_peer_that_we_did_not_start_is_told_the_trace_and_nothing_else() -> None:
    async def main() -> list[Any]:
        async with plain_peer() as (session, sent):
            await used(session)
            return sent

    with capture() as captured, run("coder"):
        sent = asyncio.run(main())
        spans = [span for span in captured.spans() if span.kind.name == "CLIENT"]
    assert len(sent) == len(spans) == 3
    for params, span in zip(sent, spans, strict=True):
        ids = span.get_span_context()
        assert ids is not None
        assert set(params["_meta"]) == {"traceparent"}
        assert params["_meta"]["traceparent"].startswith(f"00-{ids.trace_id:032x}-{ids.span_id:016x}-0")
    assert sent[2]["arguments"] == {"a": 1, "password": "hunter2"}


def test_meta_has_no_baggage_and_no_secret_of_a_trace_state(monkeypatch: pytest.MonkeyPatch) -> None:
    # mcp 2 writes the context itself, baggage too, with us and without: not by a propagator of the trace alone.
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", TraceContextTextMapPropagator())
    canary = "sk-" + "ant-api03-0123456789canary0123456789"
    state = trace.TraceState.from_header([f"first=a:1;b:2,vendor={canary}"])
    parent = trace.SpanContext(7 << 64, 9, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=state)

    async def main() -> list[Any]:
        with trace.use_span(trace.NonRecordingSpan(parent)):
            token = context.attach(baggage.set_baggage("user", canary))
            try:
                async with plain_peer() as (session, sent):
                    await used(session)
                    return sent
            finally:
                context.detach(token)

    with capture() as captured, run("coder"):
        sent = asyncio.run(main())
        spans = [span for span in captured.spans() if span.kind.name == "CLIENT"]
    assert [set(params["_meta"]) for params in sent] == [{"traceparent", "tracestate"}] * 3
    assert {params["_meta"]["tracestate"] for params in sent} == {"first=a:1;b:2"}
    assert {span.context.trace_id for span in spans if span.context} == {7 << 64}
    assert canary not in repr([(span.context, span.parent) for span in spans])


def test_what_the_caller_put_into_meta_stays_and_its_request_is_not_changed() -> None:
    from mcp import types

    theirs = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    meta: Any = {"traceparent": theirs, "mine": "1"}
    params: Any = types.CallToolRequestParams(name="add", arguments={}, _meta=meta)
    asking: Any = types.CallToolRequest
    request = asking(method="tools/call", params=params)
    before = request.model_dump_json()

    async def main() -> Any:
        async with plain_peer() as (session, sent):
            asked = types.ClientRequest(request) if peers.MAJOR == 1 else request  # type: ignore[operator]
            await session.send_request(asked, types.CallToolResult)
            return sent[-1]["_meta"]

    with capture():
        told = asyncio.run(main())
    assert told["mine"] == "1"
    if peers.MAJOR == 1:  # mcp 2 writes its own over it, with us and without
        assert told["traceparent"] == theirs
    assert request.model_dump_json() == before


class _Marking(TraceContextTextMapPropagator):
    """Somebody's propagator, which writes a field of its own."""

    def inject(self, carrier: Any, context: Any = None, setter: Any = default_setter) -> None:
        super().inject(carrier, context, setter)
        setter.set(carrier, "mark", "1")


@pytest.mark.skipif(peers.MAJOR == 1, reason="needs: package mcp>=2")
@pytest.mark.parametrize("how", ["default", "baggage", "theirs", "none"])
def test_the_trace_is_written_as_the_propagators_in_force_write_it(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = propagate.get_global_textmap()
    written: list[Any] = []
    asked: Any = importlib.import_module("mcp.shared.jsonrpc_dispatcher")
    if how in {"theirs", "none"}:
        propagate.set_global_textmap(CompositePropagator([_Marking()] if how == "theirs" else []))
    token = context.attach(baggage.set_baggage("key", "value")) if how == "baggage" else None
    with capture():
        write = asked.inject_trace_context

        def both(meta: dict[str, Any]) -> None:
            plain: dict[str, Any] = {}
            propagate.inject(plain)
            write(meta)
            written.append(({key: value for key, value in meta.items() if key != "progressToken"}, plain))

        monkeypatch.setattr(asked, "inject_trace_context", both)

        async def main() -> None:
            async with plain_peer() as (session, _):
                await used(session)

        try:
            asyncio.run(main())
        finally:
            monkeypatch.undo()
            propagate.set_global_textmap(kept)
            if token is not None:
                context.detach(token)
    expected = {
        "default": {"traceparent"},
        "baggage": {"traceparent", "baggage"},
        "theirs": {"traceparent", "mark"},
        "none": set[str](),
    }
    assert len(written) == 3
    for told, plain in written:
        assert told == plain
        assert told.keys() == expected[how]


@pytest.mark.parametrize("how", ["ours", "suppressed", "disabled"])
def test_the_library_s_own_spans_stand_down_where_ours_are_made(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if peers.MAJOR == 1:
        pytest.skip("needs: package mcp>=2")
    own: Any = importlib.import_module("mcp.shared._otel")
    server: Any = importlib.import_module("mcp_server").server
    if how == "disabled":
        monkeypatch.setenv("OTEL_AGENT_DISABLED", "mcp")

    async def main() -> Any:
        async with importlib.import_module("mcp").Client(server, mode="legacy") as client:
            with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
                return await client.call_tool("add", {"a": 1, "b": 2})

    def made(captured: Captured) -> list[tuple[str, str]]:
        monkeypatch.setattr(own, "_tracer", captured.tracer_provider.get_tracer("mcp-python-sdk"))
        if how == "suppressed":
            with suppress():
                asyncio.run(main())
        else:
            asyncio.run(main())
        return [(_scope(span), span.kind.name) for span in captured.spans() if "tools/call" in span.name]

    with capture() as captured:
        spans = made(captured)
        scopes = {_scope(span) for span in captured.spans()}
    whose = semconv.SCOPE if how == "ours" else "mcp-python-sdk"
    assert sorted(spans) == [(whose, "CLIENT"), (whose, "SERVER")]
    assert scopes == {whose}


def _scope(span: Any) -> str:
    return span.instrumentation_scope.name


def _tool(name: str) -> Callable[[Any], Awaitable[Any]]:
    """A tool of the agent's own, as `@tool` will measure it."""
    api = Api(
        semconv.EXECUTE_TOOL,
        lambda body, request: None,
        lambda node: Response(),
        kind="INTERNAL",
        durations=(semconv.EXECUTE_TOOL_DURATION,),
    )
    wrapper = async_wrapper(
        "tool",
        lambda instance, args, kwargs: (api, Request(semconv.EXECUTE_TOOL, name=f"execute_tool {name}", tool=name)),
        lambda engine, call, result: (engine.end(call), result)[1],
    )
    return lambda session: wrapper(used, None, (session,), {})


@pytest.mark.parametrize(("name", "calls"), [("add", 1), ("another", 2)])
def test_a_tool_that_hands_its_call_to_the_server_s_of_that_name_is_one_tool_call(name: str, calls: int) -> None:
    async def main() -> None:
        async with plain_peer() as (session, _):
            await _tool(name)(session)

    with capture() as captured:
        asyncio.run(main())
        tools = [it for it in captured.spans() if (it.attributes or {}).get("gen_ai.operation.name") == "execute_tool"]
        measured = sum(point.count for point in captured.points(semconv.EXECUTE_TOOL_DURATION))
        (inner,) = (span for span in captured.spans() if span.name == "tools/call add")
    assert len(tools) == measured == calls
    assert inner.parent is not None


@pytest.mark.parametrize("content", ["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY"])
def test_arguments_and_result_are_told_where_content_is_on_and_redacted(
    content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", content)

    async def main() -> None:
        async with plain_peer() as (session, _):
            await used(session)
            with contextlib.suppress(Exception):  # the answer is no resource
                uri = "note://user:hunter2@host/one"
                await session.read_resource(AnyUrl(uri) if peers.MAJOR == 1 else uri)

    with capture() as captured:
        asyncio.run(main())
        (span,) = (span for span in captured.spans() if span.name == "tools/call add")
        assert not captured.logs()
        left = str([dict(it.attributes or {}) for it in captured.spans()]) + str(captured.lines())
    facts = dict(span.attributes or {})
    arguments, result = facts.get(semconv.TOOL_CALL_ARGUMENTS), facts.get(semconv.TOOL_CALL_RESULT)
    if content == "SPAN_ONLY":
        assert '"a":1' in str(arguments)
        assert "done, api_key=" in str(result)
    else:
        assert arguments is result is None
    assert "note://" in left
    assert "hunter2" not in left
    assert "sk-proj" not in left


def test_pictures_sounds_and_files_of_a_result_are_a_digest_and_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    raw = bytes(range(256)) * 3
    data = base64.b64encode(raw).decode()
    sounds = hasattr(importlib.import_module("mcp.types"), "AudioContent")  # an old mcp has none
    content = [
        {"type": "image", "data": data, "mimeType": "image/png"},
        *([{"type": "audio", "data": data, "mimeType": "audio/wav"}] if sounds else []),
        {"type": "resource", "resource": {"uri": "file:///a.pdf", "mimeType": "application/pdf", "blob": data}},
    ]

    async def main() -> None:
        async with plain_peer({"content": content}) as (session, _):
            await used(session)

    with capture() as captured:
        asyncio.run(main())
        (span,) = (span for span in captured.spans() if span.name == "tools/call add")
        left = str([dict(it.attributes or {}) for it in captured.spans()]) + str(captured.lines())
    image, *sound, file = json.loads(str((span.attributes or {})[semconv.TOOL_CALL_RESULT]))
    facts = {"type": "blob", "sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    assert image["data"] == {**facts, "modality": "image", "mime_type": "image/png"}
    assert [one["data"] for one in sound] == [{**facts, "modality": "audio", "mime_type": "audio/wav"}] * sounds
    assert file["resource"]["blob"] == {**facts, "modality": "document", "mime_type": "application/pdf"}
    assert data[100:130] not in left


def _standing() -> dict[str, Any]:
    integration = integrations.load("mcp")
    assert integration is not None
    found: dict[str, Any] = {}
    for seam in integration.seams:
        try:
            parent: Any = importlib.import_module(seam.module)
        except ImportError:
            continue
        *path, name = seam.attribute.split(".")
        for step in path:
            parent = getattr(parent, step, None)
        if name in vars(parent if parent is not None else object):
            found[f"{seam.module}.{seam.attribute}"] = vars(parent)[name]
    return found


def test_every_seam_is_patched_and_given_back_and_looks_as_before() -> None:
    before = _standing()
    assert len(before) > 8
    with capture(only=["mcp"]):
        during = _standing()
        assert set(patching.patched()) >= set(before)
        for name, there in during.items():
            assert inspect.signature(there) == inspect.signature(before[name]), name
            assert inspect.iscoroutinefunction(there) == inspect.iscoroutinefunction(before[name]), name
    after = _standing()
    assert all(after[name] is there for name, there in before.items())
    assert not any(during[name] is there for name, there in before.items())
