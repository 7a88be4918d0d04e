# SPDX-License-Identifier: Apache-2.0
"""Every metric that leaves, as dashboards and alerts know it: a change of `golden.json` is a change for them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from opentelemetry.context import Context

from clients import ASK, ASK_CLAUDE, Scene
from otel_agent_instrumentation import cycle, plan, run, semconv, state, step
from otel_agent_instrumentation.core.engine import sync_wrapper
from otel_agent_instrumentation.core.runs import Run
from otel_agent_instrumentation.core.spec import Api, Call, Request, Response, ToolCall
from otel_agent_instrumentation.integrations import _mcp_facts
from otel_agent_instrumentation.integrations._chat import CHAT
from otel_agent_instrumentation.integrations._mcp_transports import Transport
from otel_agent_instrumentation.metrics import PATCHES_APPLIED, update_state_gauges
from otel_agent_instrumentation.metrics.catalogue import CATALOGUE
from otel_agent_instrumentation.pipeline.accounts import Accounts
from otel_agent_instrumentation.redaction.policy import default_policy
from otel_agent_instrumentation.signals.tool_calls import tool_calls
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import openai_error
from runs_seen import chat_agent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

GOLDEN = Path(__file__).parent / "golden.json"


def metrics_of(reader: InMemoryMetricReader) -> Iterable[Any]:
    data = reader.get_metrics_data()
    return [
        m
        for r in (data.resource_metrics if data else ())
        for s in r.scope_metrics
        if s.scope.name == semconv.SCOPE
        for m in s.metrics
    ]


def outline(metric: Any) -> dict[str, Any]:
    """What a dashboard depends on."""
    points = list(metric.data.data_points)
    buckets = {tuple(point.explicit_bounds) for point in points if hasattr(point, "explicit_bounds")}
    assert len(buckets) <= 1
    kind = type(metric.data).__name__.lower()
    if kind == "sum":
        kind = "counter" if metric.data.is_monotonic else "updowncounter"
    return {
        "kind": kind,
        "unit": metric.unit,
        "description": metric.description,
        "labels": sorted({label for point in points for label in point.attributes}),
        "buckets": list(*buckets),
    }


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """All that real calls, a failing one and a run emit in both flavours, and the loss of telemetry."""
    monkeypatch.setenv("OTEL_AGENT_SEMCONV", "dual")
    Path("otel-agent.toml").write_text('[prices."*"]\ninput = 1\noutput = 1\n')
    queue = Accounts("spans", "X")
    queue.drop("queue_full")
    with Scene() as scene, capture() as captured:
        with run("coder", task="nightly"):
            list(scene.openai.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
            scene.anthropic.messages.create(**ASK_CLAUDE)
            chat_agent(scene)
            update_state_gauges({"efficiency": 0.9, "entropy": 0.1, "gaps": [1, 2], "misfits": 0})
            PATCHES_APPLIED.inc()
            with plan() as made:
                made.step_count = 2
            scene.openai.embeddings.create(model="e", input="x")
            with contextlib.suppress(ValueError), cycle(), state("ACT"), step():
                raise ValueError
        scene.provider.enqueue(openai_error(400))
        default_policy().at("golden").text("user@" + "golden.example.org")
        with contextlib.suppress(openai.BadRequestError), run("coder"):
            sync_wrapper("test", _tool, lambda engine, call, result: engine.end(call))(lambda: None, None, (), {})
            _mcp_requests()
            scene.openai.chat.completions.create(**ASK)
        told = {metric.name: outline(metric) for metric in metrics_of(captured.reader)}
    return {**told, semconv.TOOL_CALLS_EXPIRED: _expired()}


def _tool(instance: Any, args: Any, kwargs: Any) -> tuple[Api, Request]:
    api = Api(semconv.EXECUTE_TOOL, lambda body, request: None, lambda node: Response(), kind="INTERNAL")
    api = replace(api, durations=(semconv.EXECUTE_TOOL_DURATION,))
    request = Request(semconv.EXECUTE_TOOL, name="execute_tool edit_file", tool="edit_file")
    request.attributes = {semconv.TOOL_TYPE: "function"}
    return api, request


def _mcp_requests() -> None:
    """One that is sent over HTTP, one that is received over stdio; both come to a tool's error."""

    def ended(engine: Any, call: Any, result: Any) -> None:
        call.error_type = semconv.TOOL_ERROR
        engine.end(call)

    for facts in (
        _mcp_facts.sent("tools/call", {"name": "t"}, Transport("tcp", address="mcp.test", port=443)),
        _mcp_facts.received("tools/call", {"name": "t"}, Transport("pipe", own=True)),
    ):
        sync_wrapper("mcp", lambda *_, facts=facts: facts, ended)(lambda: None, None, (), {})


def _expired() -> dict[str, Any]:
    call = Call("test", CHAT, Request("chat", "openai"), Context())
    call.run = Run("r", "coder")
    with capture() as captured:
        for number in range(10_001):
            tool_calls.remember(call, [ToolCall(str(number), "get_weather")])
        (metric,) = [one for one in metrics_of(captured.reader) if one.name == semconv.TOOL_CALLS_EXPIRED]
        return outline(metric)


def test_what_is_emitted_is_what_was_promised(emitted: dict[str, Any]) -> None:
    lines = [f"{json.dumps(name)}: {json.dumps(emitted[name], sort_keys=True)}" for name in sorted(emitted)]
    told = "{\n" + ",\n".join(lines) + "\n}"
    assert emitted == json.loads(GOLDEN.read_text()), f"if this is meant, it is the new {GOLDEN.name}:\n{told}"


def test_what_is_emitted_is_what_the_catalogue_declares(emitted: dict[str, Any]) -> None:
    assert set(emitted) == set(CATALOGUE)
    for name, row in CATALOGUE.items():
        one = emitted[name]
        assert (one["kind"], one["unit"], one["description"]) == (row.kind, row.unit, row.description), name
        assert one["buckets"] == list(row.buckets), name
        assert set(one["labels"]) <= set(row.labels), name
