# SPDX-License-Identifier: Apache-2.0
"""What is counted of an agent: runs and their outcomes, actions, loops, events, and that series begin at 0."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import openai
import pytest

from clients import ASK, Scene
from otel_agent_instrumentation import benchmark, cycle, emit_event, flush, plan, run, semconv, tool
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import openai_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_instrumentation.testing.capture import Captured

OUTCOMES = ("ok", "error", "cancelled", "cycle_limit", "budget")


@pytest.fixture
def captured() -> Iterator[Captured]:
    with capture() as made:
        yield made


def values(captured: Captured, name: str, *labels: str) -> dict[Any, float]:
    """The points of a counter or gauge by some of its labels."""
    found: dict[Any, float] = {}
    for point in captured.points(name):
        key = tuple(point.attributes.get(label) for label in labels)
        found[key if len(labels) != 1 else key[0]] = point.value
    return found


def test_runs_by_outcome_begin_at_0_and_are_active_while_they_last(captured: Captured) -> None:
    with run("coder", task="nightly"):
        assert values(captured, semconv.RUNS, semconv.RUN_OUTCOME) == dict.fromkeys(OUTCOMES, 0)
        assert values(captured, semconv.RUNS_ACTIVE, semconv.AGENT_NAME) == {"coder": 1}
        assert values(captured, semconv.LOOPS, semconv.LOOP_KIND) == {"model": 0, "tool": 0}
        for _ in range(3):
            with cycle():
                pass
    with contextlib.suppress(ValueError), run("coder", task="nightly"):
        raise ValueError
    assert values(captured, semconv.RUNS, semconv.AGENT_NAME, semconv.TASK, semconv.RUN_OUTCOME) == {
        ("coder", "nightly", outcome): int(outcome in {"ok", "error"}) for outcome in OUTCOMES
    }
    assert values(captured, semconv.RUNS_ACTIVE, semconv.AGENT_NAME) == {"coder": 0}
    cycles = {point.attributes[semconv.RUN_OUTCOME]: point.sum for point in captured.points(semconv.CYCLES_OF_RUN)}
    assert cycles == {"ok": 3, "error": 0}


@tool
def fetch(address: str) -> str:
    if not address:
        raise ValueError
    return address


def test_actions_and_their_latency_by_type_and_success(captured: Captured) -> None:
    with Scene() as scene, run("coder"):
        scene.openai.chat.completions.create(**ASK)
        scene.openai.chat.completions.create(**ASK)
        scene.provider.enqueue(openai_error(400))
        with contextlib.suppress(openai.BadRequestError):
            scene.openai.chat.completions.create(**ASK)
        fetch("x")
    expected = {("chat", True): 2, ("chat", False): 1, ("execute_tool", True): 1, ("execute_tool", False): 0}
    assert values(captured, semconv.ACTIONS, semconv.ACTION_TYPE, semconv.SUCCESS) == expected
    latency = {
        (point.attributes[semconv.ACTION_TYPE], point.attributes[semconv.SUCCESS]): point
        for point in captured.points(semconv.LATENCY)
    }
    assert {key: point.count for key, point in latency.items()} == expected
    durations = sum(point.sum for point in captured.points("gen_ai.client.operation.duration"))
    assert latency["chat", True].sum + latency["chat", False].sum == pytest.approx(durations)


def test_actions_are_recorded_where_nobody_collects(captured: Captured) -> None:
    """In portions, and none of it twice."""
    from otel_agent_instrumentation.signals import actions

    with run("coder"):
        for _ in range(2 * actions._MOST_WAITING + 5):
            fetch("x")
    assert values(captured, semconv.ACTIONS, semconv.ACTION_TYPE, semconv.SUCCESS)["execute_tool", True] == 8197


def test_a_loop_is_counted(captured: Captured) -> None:
    with run("coder"):
        for _ in range(12):
            fetch("again")
    assert values(captured, semconv.LOOPS, semconv.LOOP_KIND) == {"model": 0, "tool": 1}


def test_events_are_counted_by_source_and_their_numbers_are_mirrored(captured: Captured) -> None:
    with run("coder"):
        for count in (4, 7):
            with plan(reasoning_score=0.5) as made:
                made.step_count = count
        benchmark(tokens_per_s=88.5, latency_ms=120)
        emit_event("task_started", {"goal": "g"})
        emit_event("task_started", {"goal": "h"})
        flush()
    counted = values(captured, semconv.EVENTS, semconv.EVENT_SOURCE, semconv.EVENT_NAME)
    assert counted["planner", "plan.generated"] == 2
    assert counted["optimizer", "optimizer.benchmark_completed"] == 1
    assert counted["coder", "task_started"] == 3  # the run's own, too
    fields = values(captured, semconv.EVENT_VALUE, semconv.EVENT_NAME, semconv.EVENT_FIELD)
    assert fields == {
        ("plan.generated", "step_count"): 7,
        ("plan.generated", "reasoning_score"): 0.5,
        ("optimizer.benchmark_completed", "tokens_per_s"): 88.5,
        ("optimizer.benchmark_completed", "latency_ms"): 120,
    }


def test_what_the_process_is_and_that_nothing_went_wrong_is_there_without_a_call(captured: Captured) -> None:
    (memory,) = captured.points(semconv.PROCESS_MEMORY)
    assert 10e6 < memory.value < 10e9
    assert [point.value for point in captured.points(semconv.FAULTS)] == [0]
    assert values(captured, semconv.CONTENT_CAPTURE, semconv.CONTENT_MODE) == {"NO_CONTENT": 0}
    redacted = values(captured, semconv.REDACTIONS, semconv.REDACTION_RULE, semconv.REDACTION_PLACE)
    assert redacted["error", "span"] == 0
