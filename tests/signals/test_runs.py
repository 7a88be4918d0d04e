# SPDX-License-Identifier: Apache-2.0
"""The implicit run: an unchanged agent, which opens no span and calls no API of ours, is one tree (contracts 5)."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from opentelemetry import trace

from clients import ASK
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.core import runs
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Tool, openai_chat, openai_error
from runs_seen import AGENTS, TURNS, below, calls, chat_agent, cycles, of, one_tree, roots, run_ids, trace_ids

if TYPE_CHECKING:
    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured

SOON = 5.0


def ask(scene: Scene, **changes: Any) -> Any:
    return scene.openai.chat.completions.create(**{**ASK, **changes})


def wait_for_roots(captured: Captured, count: int) -> None:
    """Until so many runs have ended by themselves."""
    until = time.monotonic() + SOON
    while len(roots(captured.exporter.get_finished_spans())) < count:
        assert time.monotonic() < until, "no run ended"
        time.sleep(0.02)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_tool_loop_is_one_tree_and_each_turn_a_cycle(agent: Any, scene: Scene) -> None:
    with capture() as captured:
        agent(scene)
        spans = captured.spans(roots=True)
        lines = captured.lines()
    root, told = one_tree(spans), calls(spans)
    assert len(told) == TURNS
    assert cycles(spans) == [1, 2, 3]
    assert (root.name, root.kind.name) == (f"invoke_agent {of(root, semconv.AGENT_NAME)}", "INTERNAL")
    assert (of(root, semconv.RUN_OUTCOME), of(root, semconv.RUN_CYCLES)) == ("ok", 3)
    assert (root.start_time, root.end_time) == (told[0].start_time, told[-1].end_time)
    assert {line.run_id for line in lines} == run_ids(spans)
    assert [line.cycle for line in lines if line.payload.get("kind") == "CLIENT"] == [1, 2, 3]


def test_the_ledger_file_is_named_by_the_run(scene: Scene, tmp_path: Any) -> None:
    with capture() as captured:
        chat_agent(scene)
        (run_id,) = run_ids(captured.spans(roots=True))
    assert [file.name for file in (tmp_path / "logs/telemetry").iterdir()] == [f"{run_id}.jsonl"]


def test_calls_without_tools_stay_in_one_cycle(scene: Scene) -> None:
    with capture() as captured:
        for _ in range(3):
            ask(scene)
        spans = captured.spans(roots=True)
    one_tree(spans)
    assert cycles(spans) == [1, 1, 1]


def test_parallel_tool_results_are_one_cycle_and_old_results_none(scene: Scene) -> None:
    """Only what follows the last assistant turn is news: a history that is sent again begins no cycle."""
    scene.provider.enqueue(openai_chat(tools=[Tool(id="a"), Tool(id="b")]), openai_chat(), openai_chat())
    with capture() as captured:
        message = ask(scene).choices[0].message
        results = [{"role": "tool", "tool_call_id": one, "content": "x"} for one in ("a", "b")]
        history = [*ASK["messages"], message, *results]
        answer = ask(scene, messages=history).choices[0].message
        ask(scene, messages=[*history, answer, {"role": "user", "content": "Thanks."}])
        assert cycles(captured.spans()) == [1, 2, 2]


def test_an_embedding_begins_no_cycle(scene: Scene) -> None:
    with capture() as captured:
        scene.openai.embeddings.create(model="e", input="x")
        ask(scene)
        scene.openai.embeddings.create(model="e", input="x")
        spans = captured.spans(roots=True)
    one_tree(spans)
    assert cycles(spans) == [None, 1, 1]


def test_the_callers_context_is_left_alone(scene: Scene) -> None:
    with capture() as captured:
        chat_agent(scene)
        assert not trace.get_current_span().get_span_context().is_valid
        with captured.tracer_provider.get_tracer("agent").start_as_current_span("theirs"):
            pass
        theirs = next(span for span in captured.spans() if span.name == "theirs")
    assert theirs.parent is None


def test_a_span_of_the_agent_itself_stays_the_parent_and_there_is_no_root(scene: Scene) -> None:
    with capture() as captured:
        with captured.tracer_provider.get_tracer("server").start_as_current_span("POST /ask"):
            chat_agent(scene)
        spans = captured.spans(roots=True)
    (request,) = [span for span in spans if span.name == "POST /ask"]
    assert roots(spans) == []
    assert below(request, calls(spans))
    assert (cycles(spans), len(run_ids(calls(spans)))) == ([1, 2, 3], 1)


def test_an_idle_run_ends_at_its_last_call_and_the_next_call_begins_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_AGENT_RUN_IDLE", "0.2")
    with capture() as captured:
        chat_agent(scene, "first")
        wait_for_roots(captured, 1)
        spans = list(captured.exporter.get_finished_spans())
        assert one_tree(spans).end_time == calls(spans)[-1].end_time
        captured.clear()
        ask(scene)
        again = captured.spans(roots=True)
    one_tree(again)
    assert run_ids(again).isdisjoint(run_ids(spans))


def test_a_run_with_a_call_under_way_is_not_idle(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_AGENT_RUN_IDLE", "0.1")
    scene.provider.reply = openai_chat().but(delay_before=0.6)
    with capture() as captured:
        ask(scene)
        assert len(captured.exporter.get_finished_spans()) == 1
        wait_for_roots(captured, 1)
        root = one_tree(captured.exporter.get_finished_spans())
    assert root.end_time == calls(captured.exporter.get_finished_spans())[0].end_time


def test_a_late_tool_result_joins_the_run_that_it_answers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_AGENT_RUN_IDLE", "0.2")
    scene.provider.enqueue(openai_chat(tools=[Tool(id="late")]))
    with capture() as captured:
        message = ask(scene).choices[0].message
        wait_for_roots(captured, 1)
        ask(scene)  # another run has begun meanwhile
        ask(scene, messages=[*ASK["messages"], message, {"role": "tool", "tool_call_id": "late", "content": "x"}])
        ask(scene)
        spans = captured.spans(roots=True)
    first, _ = sorted(roots(spans), key=lambda span: span.start_time or 0)
    told = calls(spans)
    assert below(first, [told[0], told[2]])
    assert run_ids([told[0], told[2]]) == {of(first, semconv.RUN_ID)}
    assert of(told[2], semconv.CYCLE) == 2
    assert run_ids([told[1]]) == run_ids([told[3]]) != run_ids([first])
    assert trace_ids([told[1]]) == trace_ids([told[3]])


def test_a_tool_result_sent_from_another_thread_joins_the_run(scene: Scene) -> None:
    scene.provider.enqueue(openai_chat(tools=[Tool(id="worked")]))
    begun, told = threading.Event(), list[Any]()

    def worker() -> None:
        begun.wait(SOON)
        ask(scene, messages=[*ASK["messages"], *told, {"role": "tool", "tool_call_id": "worked", "content": "x"}])

    with capture() as captured:
        thread = threading.Thread(target=worker)
        thread.start()  # before there is a run
        told.append(ask(scene).choices[0].message)
        begun.set()
        thread.join()
        spans = captured.spans(roots=True)
    one_tree(spans)
    assert cycles(spans) == [1, 2]


def test_switched_off_each_call_stands_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_AGENT_IMPLICIT_RUN", "off")
    with capture() as captured:
        chat_agent(scene)
        spans = captured.spans(roots=True)
    assert roots(spans) == []
    assert len(trace_ids(spans)) == TURNS
    assert run_ids(spans) == {None}
    assert runs.current() is None


@pytest.mark.parametrize("last", ["failed", "recovered"])
def test_the_outcome_of_an_implicit_run_is_that_of_its_last_call(last: str, scene: Scene) -> None:
    scene.provider.enqueue(openai_error(400), openai_chat() if last == "recovered" else openai_error(400))
    with capture() as captured:
        for _ in range(2):
            with contextlib.suppress(openai.BadRequestError):
                ask(scene)
        root = one_tree(captured.spans(roots=True))
        (point,) = captured.points(semconv.INVOKE_AGENT_DURATION)
    failed = last == "failed"
    assert of(root, semconv.RUN_OUTCOME) == point.attributes[semconv.RUN_OUTCOME] == ("error" if failed else "ok")
    assert root.status.status_code.name == ("ERROR" if failed else "UNSET")
    assert of(root, semconv.ERROR_TYPE) == ("BadRequestError" if failed else None)


def test_a_stream_that_goes_on_belongs_to_the_run_it_began_in(scene: Scene) -> None:
    with capture() as captured:
        ask(scene)
        stream = ask(scene, stream=True)
        ask(scene)
        list(stream)
        one_tree(captured.spans(roots=True))
