# SPDX-License-Identifier: Apache-2.0
"""Ends that are told in a burst give the metrics that each by itself would have given, and none waits for long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from clients import ASK, Scene
from otel_agent_instrumentation import run, semconv, tool
from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.metrics.catalogue import CATALOGUE
from otel_agent_instrumentation.testing.capture import capture

CALLS = 5
DURATION = "gen_ai.client.operation.duration"


@tool
def fetch(value: object) -> object:
    return value


def points(captured: Any) -> dict[str, dict[tuple[Any, ...], Any]]:
    """How often, and how much where that is no time, by metric and labels."""
    found: dict[str, dict[tuple[Any, ...], Any]] = {}
    for name, row in CATALOGUE.items():
        if not name.startswith(("gen_ai.", "agent.")) or name == semconv.EVENTS:
            continue  # the process's own; a session begins once
        for point in captured.points(name):
            labels = tuple(sorted((k, str(v)) for k, v in point.attributes.items() if k != semconv.SERVER_PORT))
            if row.kind == "histogram":
                told: Any = (point.count, point.sum if row.unit != "s" else None, sum(point.bucket_counts))
            else:
                told = point.value if row.unit != "s" else None
            found.setdefault(name, {})[labels] = told
    return found


def work(scene: Scene) -> None:
    with run("coder"):
        for number in range(CALLS):
            scene.openai.chat.completions.create(**{**ASK, "model": f"gpt-{number % 2}"})
            list(scene.openai.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
            fetch(number)


def measured(*, in_bursts: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[bool]]:
    """The points, and whether each call was told with others behind it."""
    more: list[bool] = []
    tell = engine._tell

    def seen(call: Any) -> None:
        more.append(call.more)
        tell(call)

    with Scene() as scene, capture() as captured, monkeypatch.context() as patched:
        patched.setattr(engine, "_tell", seen)
        if in_bursts:
            patched.setattr(engine, "defers", True)
            patched.setattr(engine, "_awaited", True)  # no timer: they wait for whoever collects
            patched.setattr(engine, "_drained", time.perf_counter_ns() + 10**12)
        work(scene)
        found = points(captured)
    return found, more


def test_the_metrics_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one_by_one, more = measured(in_bursts=False, monkeypatch=monkeypatch)
    assert not any(more)
    in_bursts, more = measured(in_bursts=True, monkeypatch=monkeypatch)
    assert more.count(True) > 2 * CALLS
    assert in_bursts == one_by_one
    assert sum(told[0] for told in in_bursts[DURATION].values()) == 2 * CALLS


@pytest.mark.faults
def test_a_fault_in_the_last_of_a_burst_loses_what_is_its_own_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene() as scene, capture() as captured, monkeypatch.context() as patched:
        patched.setattr(engine, "defers", True)
        patched.setattr(engine, "_awaited", True)
        patched.setattr(engine, "_drained", time.perf_counter_ns() + 10**12)
        for _ in range(CALLS):
            scene.openai.chat.completions.create(**ASK)
        engine._ended[-1].request.model = {}  # type: ignore[assignment]  # no label that could be looked up
        count = sum(point.count for point in captured.points(DURATION))
    assert count == CALLS - 1


def test_who_tells_its_own_ends_is_woken_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("otel_agent_instrumentation.core.engine.reaper.at", lambda when, _: pauses.append(when))
    monkeypatch.setattr("otel_agent_instrumentation.core.engine.time.monotonic", lambda: 0.0)
    engine._wait()
    for _ in range(4):
        engine.drain()  # a busy thread's
        engine._due()
    engine._due()
    assert pauses == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert not engine._awaited  # nobody came: the next end sets a timer of its own
