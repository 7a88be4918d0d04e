# SPDX-License-Identifier: Apache-2.0
"""Truth of inferred tools: over recorded traffic each call whose result was sent back is one span, and no other is."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.testing import sse, traffic
from otel_agent_instrumentation.testing.capture import capture
from recorded import Stage
from tool_loops import tools_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_instrumentation.testing.traffic import Exchange

pytestmark = [pytest.mark.matrix, pytest.mark.shared]

WAYS = ("create", "create_async", "raw", "streaming_async")
CALLS = {"function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


def asked(exchange: Exchange) -> dict[str, str]:
    """Ids and names of the tool calls that the recorded answer asks for, read in the plainest way."""
    if exchange.kind not in {"chat", "responses", "messages"} or exchange.status >= 400:
        return {}
    documents = [one for _, one in sse.documents(exchange.body)] if exchange.is_sse else [json.loads(exchange.body)]
    found: dict[str, str] = {}
    for document in documents:
        nodes: list[Any] = [*(document.get("content") or []), document.get("content_block") or {}]
        found |= {node["id"]: node["name"] for node in nodes if node.get("type") == "tool_use"}
        items = (document.get("response") or document).get("output") or []
        found |= {item["call_id"]: item.get("name") or item["type"] for item in items if item.get("type") in CALLS}
        for choice in document.get("choices") or []:
            calls = (choice.get("message") or choice.get("delta") or {}).get("tool_calls") or []
            for call in calls:
                if call.get("id"):  # each piece of a stream may repeat it, without the name
                    found.setdefault(call["id"], (call.get("function") or call.get("custom"))["name"])
    return found


def answered(exchange: Exchange) -> set[str]:
    """Ids of the results that the recorded request sends after the last turn of the assistant."""
    sent = exchange.request.get("messages") or exchange.request.get("input") or []
    found: set[str] = set()
    for one in reversed([one for one in sent if isinstance(one, dict)] if isinstance(sent, list) else []):
        kind = one.get("type")
        if one.get("role") == "assistant" or kind in CALLS or kind == "reasoning":
            break
        if one.get("role") == "tool":
            found.add(one["tool_call_id"])
        elif str(kind).endswith("_call_output"):
            found.add(one["call_id"])
        elif isinstance(one.get("content"), list):
            found |= {part["tool_use_id"] for part in one["content"] if part.get("type") == "tool_result"}
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["openai", "anthropic", "dashscope", "groq", "azure_openai"])
def test_each_call_that_was_answered_is_one_span(name: str, way: str, stage: Stage) -> None:
    expected: list[tuple[str, str]] = []
    waiting: dict[tuple[str | None, str], str] = {}
    with capture() as captured, run("replayed"):
        for exchange in traffic.load(name):
            if exchange.kind is None:
                continue
            if stage.play(exchange, way).kind == "refused":
                continue
            for one in answered(exchange):
                tool = waiting.pop((exchange.kind, one), None)
                expected += [(one, tool)] if tool is not None else []
            waiting |= {(exchange.kind, one): tool for one, tool in asked(exchange).items()}
        told = [span.attributes or {} for span in tools_of(captured.spans())]
    found = [(one[semconv.TOOL_CALL_ID], one[semconv.TOOL_NAME]) for one in told]
    assert sorted(found) == sorted(expected)
    least = {"openai": 15 if find_spec("openai.resources.responses") else 14, "anthropic": 1, "dashscope": 4}
    assert len(expected) >= least.get(name, 0), "nothing was compared"
