# SPDX-License-Identifier: Apache-2.0
"""LangChain's tools: one span each, whoever runs them, and the agent sees what it sees without us."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langchain_core.tools import tool as langchain_tool

from clients import ASK, Scene
from otel_agent_instrumentation import run, semconv, tool
from otel_agent_instrumentation.core import patching
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Tool, openai_chat
from runs_seen import calls, of, one_tree
from tool_loops import Chat, tools_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CALL = {"name": "get_weather", "args": {"city": "Paris"}, "id": "call_a", "type": "tool_call"}


@langchain_tool
def get_weather(city: str) -> str:
    """Say what the weather is.

    In a city.
    """
    if city == "Atlantis":
        raise ToolException("no such city")
    return f"21 in {city}"


@langchain_tool
async def aget_weather(city: str) -> str:
    """Say what the weather is."""
    await asyncio.sleep(0)
    return f"21 in {city}"


class Own(BaseTool):
    """A tool by its class."""

    name: str = "own"
    description: str = "A tool of its own."

    def _run(self, city: str) -> str:
        return city.upper()


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def test_a_tool_is_a_span_and_its_answer_the_same() -> None:
    before = [get_weather.invoke({"city": "Paris"}), get_weather.invoke(CALL), Own().run("x")]
    with capture() as captured, run("coder"):
        after = [get_weather.invoke({"city": "Paris"}), get_weather.invoke(CALL), Own().run("x")]
        plain, asked, own = tools_of(captured.spans())
        (point,) = [
            p
            for p in captured.points(semconv.EXECUTE_TOOL_DURATION)
            if p.attributes[semconv.TOOL_NAME] == "get_weather"
        ]
    assert before == after
    assert isinstance(after[1], ToolMessage)
    assert (plain.name, plain.kind.name, of(plain, semconv.TOOL_CALL_ID)) == (
        "execute_tool get_weather",
        "INTERNAL",
        None,
    )
    assert of(asked, semconv.TOOL_CALL_ID) == "call_a"
    assert of(asked, semconv.TOOL_DESCRIPTION) == "Say what the weather is."
    assert own.name == "execute_tool own"
    assert point.count == 2


def test_async_tools_and_sync_ones_run_async_are_one_span_each() -> None:
    async def main() -> list[Any]:
        return [
            await aget_weather.ainvoke({"city": "a"}),
            await get_weather.ainvoke({"city": "b"}),
            await Own().arun("c"),
        ]

    with capture() as captured:
        assert asyncio.run(main()) == ["21 in a", "21 in b", "C"]
        assert [span.name for span in tools_of(captured.spans())] == [
            "execute_tool aget_weather",
            "execute_tool get_weather",
            "execute_tool own",
        ]


def test_a_failure_is_an_error_also_where_it_becomes_an_answer() -> None:
    function: Any = vars(get_weather)["func"]
    handled = StructuredTool.from_function(function, name="get_weather", description="d", handle_tool_error=True)
    with capture() as captured:
        with pytest.raises(ToolException, match="no such city"):
            get_weather.invoke({"city": "Atlantis"})
        answer = handled.invoke({**CALL, "args": {"city": "Atlantis"}})
        raised, told = tools_of(captured.spans())
    assert answer.status == "error"
    assert of(raised, semconv.ERROR_TYPE) == "ToolException"
    assert of(told, semconv.ERROR_TYPE) == "tool_error"
    assert {span.status.status_code.name for span in (raised, told)} == {"ERROR"}


def test_a_decorated_function_that_it_runs_is_told_once() -> None:
    def search(query: str) -> str:
        return query

    wrapped = StructuredTool.from_function(tool(search), name="search", description="d")
    with capture() as captured:
        assert wrapped.invoke({"query": "q"}) == "q"
        assert len(tools_of(captured.spans())) == 1


def test_in_a_loop_of_the_client_it_takes_the_call(scene: Scene) -> None:
    loop = Chat(scene)
    with capture() as captured:
        loop.ask(Tool(id="call_a"), Tool(id="call_b", arguments='{"city": "Ghent"}'))
        get_weather.invoke(CALL)
        get_weather.invoke({"city": "Ghent"})
        loop.results("call_a", "call_b")
        loop.ask()
        spans = captured.spans(roots=True)
    one_tree(spans)
    assert [of(span, semconv.TOOL_CALL_ID) for span in tools_of(spans)] == ["call_a", "call_b"]
    assert {of(span, semconv.TOOL_INFERRED) for span in tools_of(spans)} == {None}


def test_a_runner_in_a_task_of_its_own_joins_the_run_that_asked(scene: Scene) -> None:
    """As graphs do: the model is called in one task, the tool runs in another, and neither holds the run."""
    import contextvars

    with capture() as captured:
        scene.provider.enqueue(openai_chat(tools=[Tool(id="call_a")]))
        contextvars.copy_context().run(scene.openai.chat.completions.create, **ASK)
        contextvars.copy_context().run(get_weather.invoke, CALL)
        spans = captured.spans(roots=True)
    root = one_tree(spans)
    (told,) = tools_of(spans)
    assert of(told, semconv.RUN_ID) == of(root, semconv.RUN_ID)
    assert len(calls(spans)) == 1


def test_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with capture() as captured:
        get_weather.invoke(CALL)
        (span,) = tools_of(captured.spans())
    assert json.loads(of(span, semconv.TOOL_CALL_ARGUMENTS)) == {"city": "Paris"}
    assert "21 in Paris" in of(span, semconv.TOOL_CALL_RESULT)


def test_undone_it_is_as_it_was() -> None:
    before = vars(BaseTool)["run"], vars(BaseTool)["arun"]
    with capture():
        assert {"langchain_core.tools.base.BaseTool.run", "langchain_core.tools.base.BaseTool.arun"} <= set(
            patching.patched()
        )
    assert (vars(BaseTool)["run"], vars(BaseTool)["arun"]) == before
    with capture(only=["openai"]) as captured:
        get_weather.invoke(CALL)
        assert captured.spans() == []
