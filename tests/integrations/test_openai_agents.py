# SPDX-License-Identifier: Apache-2.0
"""OpenAI Agents' function tools: one span each in the tree of the model calls, with the id that the model gave."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import agents
import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)

from clients import Scene, async_openai
from otel_agent_instrumentation import semconv, tool
from otel_agent_instrumentation.core import patching
from otel_agent_instrumentation.testing.capture import Captured, capture
from otel_agent_instrumentation.testing.provider import Tool, openai_chat, openai_responses
from runs_seen import calls, of, one_tree
from tool_loops import tools_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@function_tool
def get_weather(city: str) -> str:
    """Say what the weather is."""
    if city == "Atlantis":
        raise LookupError(city)
    return f"21 in {city}"


@function_tool(failure_error_function=None)
async def strict(city: str) -> str:
    """Fail for good."""
    raise LookupError(city)


@function_tool(timeout=0.05)
async def slow(city: str) -> str:
    """Take long."""
    await asyncio.sleep(30)
    return city


@function_tool
@tool
def twice(city: str) -> str:
    """Decorated by both."""
    return city


@pytest.fixture
def scene() -> Iterator[Scene]:
    agents.set_tracing_disabled(True)
    with Scene() as scene:
        yield scene


def play(scene: Scene, *tools: Any, asked: tuple[Tool, ...], model: Any = OpenAIChatCompletionsModel) -> str:
    """One run of an agent that is told to call these tools, then to be done."""
    make = openai_chat if model is OpenAIChatCompletionsModel else openai_responses
    scene.provider.enqueue(make(tools=asked), make("Done."))

    async def main() -> str:
        async with async_openai(scene.provider.url) as client:
            agent = Agent("weatherman", tools=list(tools), model=model("gpt-5", client), model_settings=ModelSettings())
            config = RunConfig(tracing_disabled=True)
            return str((await Runner.run(agent, "How is it?", run_config=config)).final_output)

    return asyncio.run(main())


def check(captured: Captured, ids: list[str]) -> list[Any]:
    spans = captured.spans(roots=True)
    one_tree(spans)
    assert len(calls(spans)) == 2
    found = tools_of(spans)
    assert sorted(of(span, semconv.TOOL_CALL_ID) for span in found) == ids
    assert {of(span, semconv.TOOL_INFERRED) for span in found} == {None}
    return found


@pytest.mark.parametrize("model", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
def test_tools_are_spans_of_the_run_that_asked(model: Any, scene: Scene) -> None:
    asked = Tool(id="a"), Tool(id="b", arguments='{"city": "Ghent"}')
    with capture() as captured:
        assert play(scene, get_weather, asked=asked, model=model) == "Done."
        first, second = check(captured, ["a", "b"])
    assert (first.name, first.kind.name, first.status.status_code.name) == (
        "execute_tool get_weather",
        "INTERNAL",
        "UNSET",
    )
    assert [of(span, semconv.CYCLE) for span in (first, second)] == [1, 1]
    sent = json.dumps([request.json() for request in scene.provider.requests])
    assert "21 in Paris" in sent


def test_a_failure_that_becomes_an_answer_is_an_error_of_the_span(scene: Scene) -> None:
    with capture() as captured:
        assert play(scene, get_weather, asked=(Tool(id="a", arguments='{"city": "Atlantis"}'),)) == "Done."
        (span,) = check(captured, ["a"])
    assert (span.status.status_code.name, of(span, semconv.ERROR_TYPE)) == ("ERROR", "LookupError")


def test_one_that_is_raised_is_too(scene: Scene) -> None:
    with capture() as captured:
        with pytest.raises(agents.UserError):
            play(scene, strict, asked=(Tool(id="a", name="strict"),))
        (span,) = tools_of(captured.spans())
    assert of(span, semconv.ERROR_TYPE) in {"LookupError", "UserError"}


def test_a_timeout_is_an_error(scene: Scene) -> None:
    with capture() as captured:
        assert play(scene, slow, asked=(Tool(id="a", name="slow"),)) == "Done."
        (span,) = check(captured, ["a"])
    assert (span.status.status_code.name, of(span, semconv.ERROR_TYPE)) == ("ERROR", "tool_error")


def test_a_decorated_function_is_told_once(scene: Scene) -> None:
    with capture() as captured:
        play(scene, twice, asked=(Tool(id="a", name="twice"),))
        check(captured, ["a"])


def test_content(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with capture() as captured:
        play(scene, get_weather, asked=(Tool(id="a"),))
        (span,) = check(captured, ["a"])
    assert json.loads(of(span, semconv.TOOL_CALL_ARGUMENTS)) == {"city": "Paris"}
    assert of(span, semconv.TOOL_CALL_RESULT) == "21 in Paris"


def test_the_wire_is_the_same_with_and_without(scene: Scene) -> None:
    play(scene, get_weather, asked=(Tool(id="a"),))
    before = [request.body for request in scene.provider.requests]
    scene.provider.clear()
    with capture():
        play(scene, get_weather, asked=(Tool(id="a"),))
    assert [request.body for request in scene.provider.requests] == before


def test_undone_it_is_as_it_was() -> None:
    from agents.run_internal import tool_execution

    place = vars(tool_execution)
    before = place["_invoke_function_tool_with_metadata"]
    with capture():
        assert "agents.run_internal.tool_execution._invoke_function_tool_with_metadata" in patching.patched()
        assert "agents.tool.maybe_invoke_function_tool_failure_error_function" in patching.patched()
    assert place["_invoke_function_tool_with_metadata"] is before
