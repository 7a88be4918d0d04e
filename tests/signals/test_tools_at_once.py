# SPDX-License-Identifier: Apache-2.0
"""Tools of many runs at once, all with the same few ids: none is told for another's call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from clients import ASK, async_openai
from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Tool, by_path, openai_chat
from runs_seen import below, of, roots, run_ids
from tool_loops import ids_of, tools_of

if TYPE_CHECKING:
    import openai

    from clients import Scene
    from otel_agent_instrumentation.testing.loopback import Received
    from otel_agent_instrumentation.testing.reply import Reply

MANY, TURNS = 40, 3


def _counted(received: Received) -> Reply:
    """All calls of all runs have the same few ids, as some servers give them."""
    messages = received.json()["messages"]
    turn = sum(message["role"] == "assistant" for message in messages)
    if turn == TURNS:
        return openai_chat("Done.")
    return openai_chat(tools=[Tool(id=f"call_{turn}_{n}", arguments=f'{{"n":{n}}}') for n in range(2)])


def _next(history: list[Any], message: Any) -> None:
    asked = message.tool_calls or ()
    calls = [{"id": c.id, "type": "function", "function": c.function.model_dump()} for c in asked]
    history.append({"role": "assistant", "content": message.content, **({"tool_calls": calls} if calls else {})})
    history.extend({"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in calls)


def _check(spans: Any) -> None:
    assert len(roots(spans)) == MANY
    assert len(run_ids(spans)) == MANY
    for root in roots(spans):
        own = [span for span in spans if of(span, semconv.RUN_ID) == of(root, semconv.RUN_ID) and span is not root]
        assert below(root, own)
        assert Counter(ids_of(own)) == {f"call_{turn}_{n}": 1 for turn in range(TURNS) for n in range(2)}
        assert [of(span, semconv.CYCLE) for span in tools_of(own)] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_many_runs_in_threads_keep_their_tools(explicit: bool, scene: Scene) -> None:
    def agent() -> None:
        with run("coder") if explicit else contextlib.nullcontext():
            history: list[Any] = list(ASK["messages"])
            for _ in range(TURNS + 1):
                answer = scene.openai.chat.completions.create(model="gpt-5", messages=history)
                _next(history, answer.choices[0].message)

    scene.provider._route = _counted
    try:
        with capture() as captured:
            threads = [threading.Thread(target=agent) for _ in range(MANY)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            spans = captured.spans(roots=True)
    finally:
        scene.provider._route = by_path
    _check(spans)


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_many_runs_in_tasks_keep_their_tools(explicit: bool, scene: Scene) -> None:
    async def agent(client: openai.AsyncOpenAI) -> None:
        with run("coder") if explicit else contextlib.nullcontext():
            history: list[Any] = list(ASK["messages"])
            for _ in range(TURNS + 1):
                answer = await client.chat.completions.create(model="gpt-5", messages=history)
                _next(history, answer.choices[0].message)

    async def main() -> None:
        async with async_openai(scene.provider.url) as client:
            await asyncio.gather(*(agent(client) for _ in range(MANY)))

    scene.provider._route = _counted
    try:
        with capture() as captured:
            asyncio.run(main())
            spans = captured.spans(roots=True)
    finally:
        scene.provider._route = by_path
    _check(spans)
