# SPDX-License-Identifier: Apache-2.0
"""Why a run stopped: its limit of cycles, its last answer, its error, or what the agent says."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import otel_agent_instrumentation as agent
from clients import ASK
from left import everything
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Tool, openai_chat
from runs_seen import chat_agent, of, roots

if TYPE_CHECKING:
    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured

SECRET = "sk-proj-T3Bl" + "bkFJx9Qe7LmN4vRz81KsWp20YtHc"


def told(captured: Captured) -> list[tuple[Any, Any]]:
    """Outcome and stop reason of each run, by its end; the metric and the ledger agree."""
    found = [(of(root, semconv.RUN_OUTCOME), of(root, semconv.RUN_STOP_REASON)) for root in roots(captured.spans())]
    ledger = [
        (line.payload["attributes"][semconv.RUN_OUTCOME], line.payload["attributes"].get(semconv.RUN_STOP_REASON))
        for line in sorted(captured.lines(), key=lambda line: line.time_unix_nano or 0)
        if line.payload.get("name", "").startswith("invoke_agent")
    ]
    assert ledger == found
    labels = {point.attributes[semconv.RUN_OUTCOME] for point in captured.points(semconv.INVOKE_AGENT_DURATION)}
    assert labels == {outcome for outcome, _ in found}
    return found


@pytest.mark.parametrize(
    ("limit", "outcome"), [(None, ("ok", "tool_call")), (2, ("ok", "tool_call")), (1, ("cycle_limit", "max_cycles"))]
)
def test_a_run_that_wanted_more_at_its_limit(limit: int | None, outcome: tuple[str, str], scene: Scene) -> None:
    scene.provider.enqueue(openai_chat(tools=[Tool()]))
    with capture() as captured:
        with agent.run("coder", max_cycles=limit):
            scene.openai.chat.completions.create(**ASK)
        assert told(captured) == [outcome]


def test_a_run_that_is_done_in_its_last_cycle_is_ok(scene: Scene) -> None:
    with capture() as captured:
        with agent.run("coder", max_cycles=3):
            chat_agent(scene, turns=3)
        assert told(captured) == [("ok", "stop")]


def test_cycles_without_model_calls_are_limited_too() -> None:
    with capture() as captured:
        for cycles in (1, 2):
            with agent.run("coder", max_cycles=2):
                for _ in range(cycles):
                    with agent.cycle():
                        pass
        assert told(captured) == [("ok", None), ("cycle_limit", "max_cycles")]


def test_an_error_at_the_limit_is_an_error_and_what_the_agent_says_wins() -> None:
    with capture() as captured:
        for says in (False, True):
            with contextlib.suppress(ValueError), agent.run("coder", max_cycles=1) as run, agent.cycle():
                if says:
                    run.outcome, run.stop_reason = "budget", f"no tokens left for {SECRET}" + "." * 999
                raise ValueError("x")
        (first, second), left = told(captured), everything(captured)
    assert first == ("error", "ValueError")
    assert second[0] == "budget"
    assert str(second[1]).startswith("no tokens left for ")
    assert len(second[1]) == 256
    assert {name for name, text in left.items() if SECRET[:12] in text} == set()


def test_an_object_that_is_used_again_begins_anew() -> None:
    run, step = agent.run("coder"), agent.step("s")
    with capture() as captured:
        with contextlib.suppress(ValueError), run, step:
            step.result = "first"
            raise ValueError("x")
        with run, step:
            pass
        assert told(captured) == [("error", "ValueError"), ("ok", None)]
        completed = [line.payload for line in captured.lines() if line.event == "plan.step_completed"]
    completed.sort(key=lambda one: one["status"])
    assert [(one["status"], one["result_summary"]) for one in completed] == [("error", "first"), ("ok", None)]
    assert run.outcome == "ok"
