# SPDX-License-Identifier: Apache-2.0
"""An unchanged agent's tools: a call that a model asked for and whose result is sent back is one span, of its run."""

from __future__ import annotations

import contextlib
import gc
import threading
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.signals import tool_calls as remembered
from otel_agent_instrumentation.signals.tool_calls import tool_calls
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import (
    Tool,
    anthropic_error,
    openai_error,
    openai_responses,
)
from runs_seen import below, calls, of, one_tree, roots
from tool_loops import LOOPS, TOOL_CHAT, Chat, Messages, Responses, ids_of, tools_of

if TYPE_CHECKING:
    from clients import Scene

pytestmark = pytest.mark.matrix

A, B, C = (Tool(id=name) for name in ("call_a", "call_b", "call_c"))


@pytest.fixture(params=LOOPS, ids=lambda kind: kind.api)
def loop(request: pytest.FixtureRequest, scene: Scene) -> Any:
    return request.param(scene)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", LOOPS, ids=lambda kind: kind.api)
def test_parallel_calls_and_turns_are_a_span_each(kind: Any, stream: bool, scene: Scene) -> None:
    loop = kind(scene, stream=stream)
    with capture() as captured:
        loop.ask(A, B)
        loop.results("call_a", "call_b")
        loop.ask(C)
        loop.results("call_c")
        loop.ask()
        loop.say("Thanks.")
        loop.ask()
        spans = captured.spans(roots=True)
        (counted,) = captured.points(semconv.TOOL_CALLS)
        durations = captured.points(semconv.EXECUTE_TOOL_DURATION)
    root, told, asked = one_tree(spans), tools_of(spans), calls(spans)
    assert ids_of(spans) == ["call_a", "call_b", "call_c"]
    assert below(root, told)
    assert [of(span, semconv.CYCLE) for span in told] == [1, 1, 2]
    for span, before, after in zip(told, (0, 0, 1), (1, 1, 2), strict=True):
        assert (span.name, span.kind.name, span.status.status_code.name) == (
            "execute_tool get_weather",
            "INTERNAL",
            "UNSET",
        )
        assert of(span, semconv.TOOL_INFERRED) is True
        assert of(span, semconv.TOOL_TIME) == "upper_bound"
        assert span.start_time == asked[before].end_time
        assert abs((span.end_time or 0) - (asked[after].start_time or 0)) < 1_000_000_000
    assert (counted.value, counted.attributes[semconv.TOOL_NAME]) == (3, "get_weather")
    assert durations == []


def test_a_tool_is_a_line_of_the_ledger(loop: Any) -> None:
    with capture() as captured:
        loop.ask(A)
        loop.results("call_a")
        loop.ask()
        lines = [line for line in captured.lines() if line.payload.get("name") == "execute_tool get_weather"]
        (span,) = tools_of(captured.spans())
    (line,) = lines
    assert (line.run_id, line.cycle) == (of(span, semconv.RUN_ID), 1)
    assert line.payload["attributes"][semconv.TOOL_INFERRED] is True


def test_a_request_tried_again_tells_its_tools_once(loop: Any) -> None:
    refusal = anthropic_error(529) if loop.api == "messages" else openai_error(500)
    with capture() as captured:
        loop.ask(A)
        loop.results("call_a")
        for _ in range(2):
            loop.scene.provider.enqueue(refusal)
            with contextlib.suppress(Exception):
                loop.send([*loop.history])
        loop.ask()
        assert ids_of(captured.spans()) == ["call_a"]


def test_a_branched_history_tells_its_tools_once(loop: Any) -> None:
    with capture() as captured:
        loop.ask(A)
        loop.results("call_a")
        loop.ask(B, history=[*loop.history])
        loop.ask(C, history=[*loop.history])
        branch = [*loop.history, loop.turn([C])]
        loop.history = branch
        loop.results("call_c")
        loop.ask()
        assert ids_of(captured.spans()) == ["call_a", "call_c"]


def test_a_result_that_is_never_sent_is_no_span(loop: Any) -> None:
    with capture() as captured:
        loop.ask(A, B)
        loop.results("call_b")
        loop.ask()
        loop.say("And tomorrow?")
        loop.ask()
        assert ids_of(captured.spans()) == ["call_b"]
        assert len(tool_calls) == 1


def test_a_result_that_nobody_asked_for_is_no_span(loop: Any) -> None:
    with capture() as captured:
        loop.ask(A)
        loop.results("call_of_yesterday")
        loop.ask()
        assert ids_of(captured.spans()) == []


def test_ids_used_again_in_another_run_are_other_calls(loop: Any) -> None:
    other = type(loop)(loop.scene)
    with capture() as captured:
        with run("first") as first:
            loop.ask(A)
        with run("second") as second:
            other.ask(A)
            other.results("call_a")
            other.ask()
        with run("third"):  # was asked for elsewhere
            loop.results("call_a")
            loop.send(loop.history)
        (told,) = tools_of(captured.spans())
        assert of(told, semconv.RUN_ID) == second.id != first.id


def test_ids_that_a_server_counts_from_0_do_not_mix_threads(loop: Any) -> None:
    """Two implicit runs side by side, all of whose calls have the same id."""
    meet, lock = threading.Barrier(2, timeout=30), threading.Lock()

    def agent() -> None:
        mine = type(loop)(loop.scene)
        for _ in range(3):
            meet.wait()
            with lock:
                mine.ask(Tool(id="call_0"))
            mine.results("call_0")

    with capture() as captured:
        threads = [threading.Thread(target=agent) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spans = captured.spans(roots=True)
    assert len(roots(spans)) == 2
    per_run = Counter(of(span, semconv.RUN_ID) for span in tools_of(spans))
    assert sorted(per_run.values()) == [2, 2]
    for root in roots(spans):
        own = [span for span in spans if of(span, semconv.RUN_ID) == of(root, semconv.RUN_ID) and span is not root]
        assert below(root, own)


def test_a_call_that_two_providers_ask_for_belongs_to_each(scene: Scene) -> None:
    chat, messages = Chat(scene), Messages(scene)
    with capture() as captured, run("both"):
        chat.ask(A)
        messages.ask(A)
        messages.results("call_a")
        messages.ask()
        assert [span.parent is not None for span in tools_of(captured.spans())] == [True]
        chat.results("call_a")
        chat.ask()
        assert ids_of(captured.spans()) == ["call_a", "call_a"]


@pytest.mark.responses
def test_a_tool_of_another_api_of_the_provider_is_another(scene: Scene) -> None:
    chat, responses = Chat(scene), Responses(scene)
    with capture() as captured, run("both"):
        chat.ask(A)
        responses.results("call_a")
        responses.ask()
        assert ids_of(captured.spans()) == []


def test_a_failed_tool_is_an_error_where_the_api_says_so(scene: Scene) -> None:
    loop = Messages(scene)
    with capture() as captured:
        loop.ask(A, B)
        loop.results("call_a", "call_b", failed=["call_b"])
        loop.ask()
        fine, failed = tools_of(captured.spans())
        counted = {
            point.attributes.get(semconv.ERROR_TYPE): point.value for point in captured.points("agent.tool.calls")
        }
    assert (fine.status.status_code.name, of(fine, semconv.ERROR_TYPE)) == ("UNSET", None)
    assert (failed.status.status_code.name, of(failed, semconv.ERROR_TYPE)) == ("ERROR", "tool_error")
    assert counted == {None: 1, "tool_error": 1}


def test_results_in_two_user_turns_are_both_seen(scene: Scene) -> None:
    loop = Messages(scene)
    with capture() as captured:
        loop.ask(A, B)
        loop.results("call_a")
        loop.results("call_b")
        loop.ask()
        assert ids_of(captured.spans()) == ["call_a", "call_b"]


def test_a_name_that_the_request_did_not_declare_is_no_label(loop: Any) -> None:
    invented = Tool(id="call_x", name="invented_by_the_model")
    with capture() as captured:
        loop.ask(A, invented)
        loop.results("call_a", "call_x")
        loop.ask()
        names = {point.attributes[semconv.TOOL_NAME]: point.value for point in captured.points(semconv.TOOL_CALLS)}
        assert {of(span, semconv.TOOL_NAME) for span in tools_of(captured.spans())} == {
            "get_weather",
            "invented_by_the_model",
        }
    assert names == {"get_weather": 1, "other": 1}


@pytest.mark.responses
def test_a_response_that_is_fetched_again_asks_for_nothing_new(scene: Scene) -> None:
    loop = Responses(scene)
    with capture() as captured:
        answer = loop.ask(A)
        loop.results("call_a")
        loop.ask()
        for _ in range(2):
            scene.provider.enqueue(openai_responses(tools=[A], id=answer.id))
            scene.openai.responses.retrieve(answer.id)
        loop.ask(history=loop.history[:-1])
        assert ids_of(captured.spans()) == ["call_a"]


@pytest.mark.responses
def test_a_background_response_is_answered_through_its_fetch(scene: Scene) -> None:
    loop = Responses(scene)
    scene.provider.enqueue(openai_responses(status="in_progress", output=[], usage=None, id="resp_1"))
    with capture() as captured:
        loop.send(loop.history, background=True)
        scene.provider.enqueue(openai_responses(tools=[A], id="resp_1"))
        scene.openai.responses.retrieve("resp_1")
        loop.history.append(loop.turn([A]))
        loop.results("call_a")
        loop.ask()
        assert ids_of(captured.spans()) == ["call_a"]


def test_under_a_span_of_the_agents_own_the_tool_hangs_there(loop: Any) -> None:
    with capture() as captured:
        with captured.tracer_provider.get_tracer("server").start_as_current_span("POST /ask"):
            loop.ask(A)
            loop.results("call_a")
            loop.ask()
        spans = captured.spans()
    (above,) = [span for span in spans if span.name == "POST /ask"]
    assert below(above, tools_of(spans))


def test_switched_off_runs_have_no_inferred_tools(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_AGENT_IMPLICIT_RUN", "off")
    with capture() as captured:
        loop.ask(A)
        loop.results("call_a")
        loop.ask()
        assert tools_of(captured.spans()) == []


# --- what is remembered -----------------------------------------------------------------------------------------------


def _expired(captured: Any) -> dict[str, int]:
    return {point.attributes[semconv.REASON]: point.value for point in captured.points(semconv.TOOL_CALLS_EXPIRED)}


def test_what_is_too_old_is_forgotten_and_counted(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture() as captured:
        loop.ask(A)
        assert _expired(captured) == {}
        monkeypatch.setattr(remembered, "_LONGEST", 0.0)
        assert _expired(captured) == {"age": 1}
        loop.results("call_a")
        loop.ask()
        assert ids_of(captured.spans()) == []


def test_what_is_too_much_is_forgotten_and_counted(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST", 2)
    with capture() as captured:
        loop.ask(A, B, C)
        loop.results("call_a", "call_b", "call_c")
        loop.ask()
        assert ids_of(captured.spans()) == ["call_b", "call_c"]
        assert _expired(captured) == {"too_many": 1}


def test_memory_is_flat_over_20000_calls(scene: Scene) -> None:
    """Without the client, which would take minutes: a call is what its integration makes of it."""
    from opentelemetry.context import Context

    from otel_agent_instrumentation.core.runs import Run
    from otel_agent_instrumentation.core.spec import Call, Request, ToolCall
    from otel_agent_instrumentation.integrations._chat import CHAT

    one = Run("r", "coder")

    def asked(number: int, *, sent: bool) -> None:
        call = Call("openai", CHAT, Request("chat", "openai", tools=[TOOL_CHAT]), Context())
        call.run = one
        tool_calls.remember(call, [ToolCall(f"call_{number}", f"tool_{number % 7}", '{"text": "' + "x" * 5000 + '"}')])
        if sent:
            call.request.answers = [f"call_{number}"]
            assert len(tool_calls.answered(call)) == 1

    with capture():
        for number in range(12_000):
            asked(number, sent=number % 2 == 0)
        gc.collect()
        tracemalloc.start()
        begin = tracemalloc.get_traced_memory()[0]
        for number in range(12_000, 32_000):
            asked(number, sent=number % 2 == 0)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - begin
        tracemalloc.stop()
        assert len(tool_calls) == 10_000
    # 4,000 more are remembered than at the start, at less than 1 KB each; 20,000 would be ten times that.
    assert grown < 8_000_000, grown
