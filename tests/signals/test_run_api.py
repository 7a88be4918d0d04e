# SPDX-License-Identifier: Apache-2.0
"""`run()`: where a run begins and ends, how it went, and what everything below it carries."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest

from clients import ASK, async_openai
from left import everything
from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Tool, openai_chat
from runs_seen import AGENTS, below, calls, chat_agent, cycles, of, one_tree, roots, run_ids, span_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured

SECRET = "sk-proj-T3Bl" + "bkFJx9Qe7LmN4vRz81KsWp20YtHc"
GIVEN: dict[str, Any] = {
    "task": "canary-task",
    "user": "canary-user",
    "session": "canary-session",
    "tags": ["canary-tag", "blue"],
    "metadata": {"team": "canary-team", "level": 3, "password": "canary-password"},
}


def ask(scene: Scene, **changes: Any) -> Any:
    return scene.openai.chat.completions.create(**{**ASK, **changes})


@pytest.mark.parametrize("agent", AGENTS)
def test_a_run_is_the_root_of_what_happens_in_it(agent: Any, scene: Scene) -> None:
    with capture() as captured:
        with run("coder") as this:
            agent(scene)
            assert this.cycle == 3
        spans, lines = captured.spans(roots=True), captured.lines()
        (point,) = captured.points(semconv.INVOKE_AGENT_DURATION)
    root = one_tree(spans)
    assert (root.name, of(root, semconv.RUN_ID), of(root, semconv.RUN_IMPLICIT)) == (
        "invoke_agent coder",
        this.id,
        None,
    )
    assert (cycles(spans), this.outcome, of(root, semconv.RUN_OUTCOME)) == ([1, 2, 3], "ok", "ok")
    assert {line.run_id for line in lines} == {this.id}
    assert lines[-1].payload["name"] == "invoke_agent coder"
    assert dict(point.attributes) == {
        semconv.OPERATION_NAME: "invoke_agent",
        semconv.AGENT_NAME: "coder",
        semconv.RUN_OUTCOME: "ok",
    }


def test_a_run_under_the_callers_span_and_a_span_within_the_run(scene: Scene) -> None:
    with capture() as captured:
        tracer = captured.tracer_provider.get_tracer("theirs")
        with tracer.start_as_current_span("above"), run("coder"), tracer.start_as_current_span("within"):
            ask(scene)
        names = {span.name: span for span in captured.spans()}
    root = names["invoke_agent coder"]
    assert below(names["above"], [root])
    assert below(root, [names["within"]])
    assert below(names["within"], calls(names.values()))


def test_runs_within_runs_share_the_id_and_the_file(scene: Scene) -> None:
    with capture() as captured:
        with run("lead", user="u", metadata={"a": 1, "b": 1}) as outer, run("helper", metadata={"b": 2}) as inner:
            ask(scene)
        spans = captured.spans()
        files = {line.run_id for line in captured.lines()}
    assert (inner.id, files) == (outer.id, {outer.id})
    helper, lead = roots(spans)
    assert below(lead, [helper])
    assert below(helper, calls(spans))
    (call,) = calls(spans)
    assert (of(call, semconv.AGENT_NAME), of(call, semconv.USER_ID)) == ("helper", "u")
    assert (of(call, "agent.metadata.a"), of(call, "agent.metadata.b")) == (1, 2)


def test_an_id_of_ones_own(scene: Scene) -> None:
    with capture() as captured, run("coder", run_id="mine/1") as this:
        ask(scene)
        assert (this.id, run_ids(captured.spans())) == ("mine/1", {"mine/1"})


# --- as a decorator, sync and async -----------------------------------------------------------------------------------


def test_each_call_of_a_decorated_function_is_a_run(scene: Scene) -> None:
    @run("coder", task="t")
    def work(turns: int) -> str:
        """Work."""
        chat_agent(scene, turns=turns)
        return "done"

    with capture() as captured:
        assert [work(1), work(2)] == ["done", "done"]
        spans = captured.spans()
    assert (work.__name__, work.__doc__) == ("work", "Work.")
    first, second = roots(spans)
    assert [of(root, semconv.RUN_CYCLES) for root in (first, second)] == [1, 2]
    assert of(first, semconv.RUN_ID) != of(second, semconv.RUN_ID)


def test_a_decorated_coroutine_and_an_async_block(scene: Scene) -> None:
    @run("coder")
    async def work(client: Any) -> None:
        await client.chat.completions.create(**ASK)
        await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(2)))

    async def main() -> None:
        async with async_openai(scene.provider.url) as client:
            await work(client)
            async with run("coder"):
                await client.chat.completions.create(**ASK)

    with capture() as captured:
        asyncio.run(main())
        spans = captured.spans()
    first, second = roots(spans)
    assert below(first, calls(spans)[:3])
    assert below(second, calls(spans)[3:])
    assert inspect.iscoroutinefunction(work)


# --- outcomes -------------------------------------------------------------------------------------------------------


def _raise(error: BaseException) -> None:
    raise error


def _set(outcome: Any, this: run) -> None:
    this.outcome = outcome


OUTCOMES: list[Any] = [
    (lambda this: None, "ok", None),
    (lambda this: _raise(ValueError("canary")), "error", "ValueError"),
    (lambda this: _raise(asyncio.CancelledError()), "cancelled", None),
    (lambda this: _raise(KeyboardInterrupt()), "cancelled", None),
    (lambda this: _raise(SystemExit(0)), "ok", None),
    (lambda this: _raise(SystemExit(3)), "error", "SystemExit"),
    (lambda this: _set("cycle_limit", this), "cycle_limit", None),
    (lambda this: (_set("budget", this), _raise(ValueError())), "budget", None),
]


@pytest.mark.parametrize(("does", "outcome", "kind"), OUTCOMES)
def test_how_a_run_ended_is_said_alike_everywhere(does: Callable[[run], None], outcome: str, kind: str | None) -> None:
    with capture() as captured:
        this, seen = run("coder"), None
        try:
            with this:
                does(this)
        except BaseException as error:  # noqa: BLE001 - the caller's own must pass
            seen = error
        root = captured.span()
        (line,) = [line for line in captured.lines() if line.event == semconv.EVENT_SPAN_ENDED]
        (point,) = captured.points(semconv.INVOKE_AGENT_DURATION)
    told = [root.attributes or {}, line.payload["attributes"], point.attributes]
    assert [one.get(semconv.RUN_OUTCOME) for one in told] == [outcome] * 3
    assert [one.get(semconv.ERROR_TYPE) for one in told] == [kind] * 3
    assert this.outcome == outcome
    assert (
        (root.status.status_code.name == "ERROR") == (kind is not None) == (line.payload["status"]["code"] == "ERROR")
    )
    assert "canary" not in json.dumps(line.payload)
    assert kind is None or type(seen).__name__ == kind


@pytest.mark.logs
def test_an_outcome_that_is_none_is_refused() -> None:
    with capture() as captured:
        with run("coder") as this:
            _set("splendid", this)
        assert of(captured.span(), semconv.RUN_OUTCOME) == "ok"


def test_a_cancelled_task_is_a_cancelled_run() -> None:
    async def work(started: asyncio.Event) -> None:
        async with run("coder"):
            started.set()
            await asyncio.sleep(30)

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(work(started))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with capture() as captured:
        asyncio.run(main())
        assert of(captured.span(), semconv.RUN_OUTCOME) == "cancelled"


def test_without_instrumentation_a_run_does_nothing() -> None:
    with run("coder") as this:
        assert this.id
    assert this.outcome == "ok"


# --- what it was given ------------------------------------------------------------------------------------------------


def work_with_others(captured: Captured, scene: Scene) -> None:
    """A call, a span of somebody else's around it and a log record of the application's."""
    with captured.tracer_provider.get_tracer("theirs").start_as_current_span("theirs"):
        scene.openai.chat.completions.create(**ASK)
        captured.logger_provider.get_logger("application").emit(body="hello")


def test_everything_below_is_stamped_but_metrics_and_what_goes_to_the_provider(scene: Scene) -> None:
    with capture() as captured:
        with run("coder", **GIVEN) as this:
            work_with_others(captured, scene)
        left = everything(captured, scene.provider)
        stamped = [dict(span.attributes or {}) for span in captured.spans()]
        stamped += [dict(log.attributes or {}) for log in captured.logs(roots=True)]
        lines = [line for line in captured.lines() if line.event != semconv.EVENT_RESOURCE]
    assert len(stamped) == 7  # three log events are of the session and of the run
    for attributes in stamped:
        assert {key: value for key, value in attributes.items() if key in _EXPECTED} == _EXPECTED
        assert (attributes[semconv.RUN_ID], attributes[semconv.AGENT_NAME]) == (this.id, "coder")
    for line in lines:
        assert line.tags | {"agent": "coder", "session_id": "canary-session", "task": "canary-task"} == line.tags
        assert line.tags["canary-tag"] == "true"
        if not line.event.startswith(("session_", "task_")):
            assert line.payload["attributes"]["agent.metadata.team"] == "canary-team"
    assert "canary" not in left["metrics"].replace("canary-task", "") + left["http"]  # `task` is a label (contracts 6)
    assert all("canary-password" not in text for text in left.values())


_EXPECTED = {
    semconv.USER_ID: "canary-user",
    semconv.SESSION_ID: "canary-session",
    semconv.TAGS: ("canary-tag", "blue"),
    "agent.metadata.team": "canary-team",
    "agent.metadata.level": 3,
    "agent.metadata.password": "REDACTED",
}


@pytest.mark.parametrize("place", ["task", "user", "session", "tags", "tags as pairs", "metadata"])
def test_a_secret_given_to_a_run_leaves_nowhere(place: str, scene: Scene) -> None:
    given: dict[str, Any] = {
        "task": {"task": f"use {SECRET}"},
        "user": {"user": SECRET},
        "session": {"session": SECRET},
        "tags": {"tags": ["x", SECRET]},
        "tags as pairs": {"tags": {"key": SECRET, SECRET: "value"}},
        "metadata": {"metadata": {"note": f"it is {SECRET}", SECRET: 1}},
    }[place]
    with capture() as captured:
        with run("coder", **given):
            work_with_others(captured, scene)
        left = everything(captured, scene.provider)
    assert {name for name, text in left.items() if SECRET in text} == set()


def test_what_is_given_is_bounded_in_number_and_size(scene: Scene) -> None:
    many = {f"key{position}" + "k" * 1000: "v" * 100_000 for position in range(500)}
    with capture() as captured:
        with run("coder", user="u" * 9999, tags=[*many], metadata=many), run("helper", tags=many, metadata={"a": 1}):
            ask(scene)
        for span in captured.spans():
            stamp = {key: value for key, value in (span.attributes or {}).items() if key.startswith("agent.metadata.")}
            assert len(stamp) <= 64
            assert len(repr(dict(span.attributes or {}))) < 64_000
            assert len(of(span, semconv.TAGS)) == 32
            assert len(of(span, semconv.USER_ID)) == 256
        assert max(len(repr(line)) for line in captured.lines()) < 100_000


def test_a_tool_result_that_comes_after_the_block_joins_the_run(scene: Scene) -> None:
    scene.provider.enqueue(openai_chat(tools=[Tool(id="asked-in-block")]))
    with capture() as captured:
        with run("coder") as this:
            message = ask(scene).choices[0].message
        result = {"role": "tool", "tool_call_id": "asked-in-block", "content": "x"}
        ask(scene, messages=[*ASK["messages"], message, result])
        spans = captured.spans(roots=True)
    (root,) = roots(spans)
    assert run_ids(spans) == {this.id}
    assert below(root, calls(spans))
    assert span_id(root)
