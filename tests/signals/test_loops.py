# SPDX-License-Identifier: Apache-2.0
"""`agent.loop.suspected`: the same call with the same arguments, again and again in one run, is told once a streak."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clients import ASK, ASK_CLAUDE, ASK_RESPONSES
from otel_agent_instrumentation import run, semconv, tool
from otel_agent_instrumentation.signals.loops import Streaks, UnmarkedError, mark_of
from otel_agent_instrumentation.testing import lines as schema
from otel_agent_instrumentation.testing.capture import Captured, capture
from otel_agent_instrumentation.testing.provider import Tool
from tool_loops import LOOPS

if TYPE_CHECKING:
    from clients import Scene

pytestmark = pytest.mark.matrix


@tool
def look(path: str, *, deep: bool = False, more: Any = None) -> str:
    return path


def suspected(captured: Captured) -> list[tuple[Any, ...]]:
    found = [log for log in captured.logs() if log.event_name == semconv.EVENT_LOOP]
    keys = (semconv.LOOP_KIND, semconv.TOOL_NAME, semconv.REQUEST_MODEL, semconv.LOOP_COUNT)
    return [tuple(log.attributes[key] for key in keys if key in log.attributes) for log in found]


def test_a_tool_that_is_called_again_and_again_is_told_once() -> None:
    with capture() as captured, run("coder"):
        for _ in range(4):
            look("a.py")
        assert suspected(captured) == []
        for _ in range(20):
            look("a.py")
        assert suspected(captured) == [("tool", "look", 5)]


def test_it_is_a_line_of_the_ledger_and_a_log_of_its_run(tmp_path: Path) -> None:
    with capture() as captured:
        with run("coder") as one:
            for _ in range(5):
                look("a.py")
        (line,) = [line for line in captured.lines() if line.event == semconv.EVENT_LOOP]
        (log,) = [log for log in captured.logs() if log.event_name == semconv.EVENT_LOOP]
    assert line.run_id == log.attributes[semconv.RUN_ID] == one.id
    assert line.payload[semconv.LOOP_COUNT] == 5
    assert log.trace_id == int(line.trace_id or "", 16)
    for file in (tmp_path / "logs/telemetry").iterdir():
        assert [problem for data in file.read_bytes().splitlines() for problem in schema.check_line(data)] == []


def test_two_calls_in_turn_are_a_streak_each() -> None:
    with capture() as captured, run("coder"):
        for _ in range(9):
            look("a.py")
            look("b.py")
        assert suspected(captured) == [("tool", "look", 5)] * 2


def test_other_arguments_are_other_calls() -> None:
    with capture() as captured, run("coder"):
        for number in range(20):
            look(f"{number}.py")
            look("a.py", more=[number])
            look("a.py", more={"number": number})
            look("a.py", more=object())
        assert suspected(captured) == []


def test_a_call_now_and_then_is_no_loop() -> None:
    with capture() as captured, run("coder"):
        for number in range(60):
            look("plan.md" if number % 6 == 0 else f"{number}.py")
        assert suspected(captured) == []


def test_a_streak_that_ended_may_begin_again() -> None:
    with capture() as captured, run("coder"):
        for _ in range(2):
            for _ in range(8):
                look("a.py")
            for number in range(8):
                look(f"{number}.py")
        assert suspected(captured) == [("tool", "look", 5)] * 2


def test_runs_are_counted_apart() -> None:
    with capture() as captured:
        for _ in range(4):
            with run("coder"):
                for _ in range(4):
                    look("a.py")
        assert suspected(captured) == []


@pytest.mark.parametrize(("text", "calls"), [("3", 3), ("1", 2), ("8", 8)])
def test_how_many_is_a_setting(text: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_AGENT_LOOP_CALLS", text)
    with capture() as captured, run("coder"):
        for _ in range(calls - 1):
            look("a.py")
        assert suspected(captured) == []
        look("a.py")
        assert suspected(captured) == [("tool", "look", calls)]


@pytest.mark.parametrize("kind", LOOPS, ids=lambda kind: kind.api)
def test_a_model_that_asks_for_the_same_tool_call_is_told_once(kind: Any, scene: Scene) -> None:
    loop = kind(scene)
    with capture() as captured:
        for number in range(8):
            loop.ask(Tool(id=f"call_{number}"))
            loop.results(f"call_{number}")
        assert suspected(captured) == [("tool", "get_weather", 5)]


def test_a_call_that_was_asked_for_and_measured_counts_once(scene: Scene) -> None:
    loop = LOOPS[0](scene)
    with capture() as captured:
        for number in range(4):
            loop.ask(Tool(id=f"call_{number}", name="look", arguments='{"path": "a.py"}'))
            look(path="a.py")
            loop.results(f"call_{number}")
        assert suspected(captured) == []


def ask_chat(scene: Scene, text: str) -> None:
    scene.openai.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": text}]})


def ask_responses(scene: Scene, text: str) -> None:
    scene.openai.responses.create(**{**ASK_RESPONSES, "input": text})


def ask_claude(scene: Scene, text: str) -> None:
    part = {"role": "user", "content": [{"type": "text", "text": text}]}
    scene.anthropic.messages.create(**{**ASK_CLAUDE, "messages": [part]})


@pytest.mark.parametrize("ask", [ask_chat, ask_responses, ask_claude])
def test_the_same_question_to_a_model_is_told_once(ask: Any, scene: Scene) -> None:
    with capture() as captured:
        for number in range(8):
            ask(scene, f"Question {number}?")
        assert suspected(captured) == []
        for _ in range(8):
            ask(scene, "Are we there yet?")
        assert [found[0] for found in suspected(captured)] == ["model"]


def test_threads_of_one_run_tell_it_once() -> None:
    with capture() as captured, run("coder"):
        threads = [threading.Thread(target=look, args=("a.py",)) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert suspected(captured) == [("tool", "look", 5)]


def test_streaks_remember_no_more_than_they_need() -> None:
    streaks = Streaks()
    for number in range(10_000):
        streaks.add(number, 5)
    assert len(streaks._seen) <= 7


def test_a_method_is_counted_by_its_instance() -> None:
    class Box:
        @tool
        def look(self, path: Path) -> None: ...

    one, other = Box(), Box()
    with capture() as captured, run("coder"):
        for _ in range(4):
            one.look(Path("a.py"))
            other.look(Path("a.py"))
        assert suspected(captured) == []
        one.look(Path("a.py"))
        assert suspected(captured) == [("tool", "look", 5)]


def test_a_mark_reads_no_object_of_the_callers() -> None:
    class Touchy:
        def __hash__(self) -> int:
            raise AssertionError("read")

        __eq__ = None  # type: ignore[assignment]

    deep: list[Any] = []
    deep.append(deep)
    for given in (Touchy(), [Touchy()], {"a": Touchy()}, deep):
        with pytest.raises(UnmarkedError):
            mark_of(given)
