# SPDX-License-Identifier: Apache-2.0
"""Blocks in blocks, left in any order, in any thread, task or generator: nobody is ever in one that is over."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

import otel_agent_instrumentation as agent
from clients import ASK, async_openai
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.core import runs
from otel_agent_instrumentation.testing.capture import capture
from runs_seen import below, calls, of, roots, run_ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from clients import Scene
    from otel_agent_instrumentation.testing.capture import Captured


def ask(scene: Scene, model: str = "gpt-5") -> Any:
    return scene.openai.chat.completions.create(**{**ASK, "model": model})


def parents(captured: Captured) -> dict[str, str | None]:
    """The name of each span's parent, calls by their model, steps by their tool."""
    spans = captured.spans(roots=True)
    by_id = {span.context.span_id: span for span in spans if span.context}
    return {_name(s): _name(by_id[s.parent.span_id]) if s.parent and s.parent.span_id in by_id else None for s in spans}


def _name(span: ReadableSpan) -> str:
    return of(span, semconv.REQUEST_MODEL) or of(span, semconv.TOOL_NAME) or span.name


def nothing_left() -> None:
    assert runs.place() is None
    assert not trace.get_current_span().get_span_context().is_valid


# --- one thread -------------------------------------------------------------------------------------------------------


def test_blocks_left_in_the_order_they_were_entered(scene: Scene) -> None:
    with capture() as captured:
        outer, inner = agent.step(tool="outer"), agent.step(tool="inner")
        with agent.run("coder"):
            outer.__enter__()
            inner.__enter__()
            ask(scene, "both")
            outer.__exit__(None, None, None)
            ask(scene, "inner only")
            inner.__exit__(None, None, None)
            ask(scene, "none")
        assert parents(captured) == {
            "both": "inner",
            "inner only": "inner",
            "none": "invoke_agent coder",
            "inner": "outer",
            "outer": "invoke_agent coder",
            "invoke_agent coder": None,
        }
    nothing_left()


def test_runs_left_in_the_order_they_were_entered(scene: Scene) -> None:
    first, second = agent.run("a", user="u-a"), agent.run("b", run_id="b", user="u-b")
    with capture() as captured:
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        ask(scene, "in b")
        second.__exit__(None, None, None)
        ask(scene, "in none")
        told = calls(captured.spans(roots=True))
    assert [of(call, semconv.USER_ID) for call in told] == ["u-b", None]
    assert of(told[0], semconv.RUN_ID) == "b"
    assert of(told[1], semconv.RUN_ID) not in {"b", first.id}
    nothing_left()


def test_cycles_in_cycles_and_runs_in_cycles(scene: Scene) -> None:
    with capture() as captured:
        with agent.run("lead"):
            with agent.cycle() as outer:
                with agent.cycle() as inner:
                    ask(scene, "inner")
                ask(scene, "outer")
                with agent.run("helper"):
                    ask(scene, "helper")
                    with agent.cycle():
                        ask(scene, "helper's")
                ask(scene, "outer again")
                numbers = (outer.number, inner.number)
            ask(scene, "none")
        cycles = {str(of(call, semconv.REQUEST_MODEL)): of(call, semconv.CYCLE) for call in calls(captured.spans())}
        assert len(run_ids(captured.spans())) == 1
    assert numbers == (1, 0)
    assert cycles == {"inner": 2, "outer": 1, "helper": 1, "helper's": 1, "outer again": 1, "none": None}


def test_the_same_block_entered_twice_and_by_threads(scene: Scene) -> None:
    shared, meet = agent.step(tool="shared"), threading.Barrier(4, timeout=10)

    def work(number: int) -> None:
        with agent.run(f"r{number}"), shared:
            meet.wait()
            ask(scene, f"m{number}")
            meet.wait()
        ask(scene, f"after {number}")

    with capture() as captured:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        with agent.run("twice"), shared, shared:
            ask(scene, "in two")
        spans = captured.spans(roots=True)
    by_run = {of(root, semconv.RUN_ID): root for root in roots(spans) if of(root, semconv.RUN_IMPLICIT) is None}
    for call in calls(spans):
        model = str(of(call, semconv.REQUEST_MODEL))
        if model.startswith("m"):
            assert of(by_run[of(call, semconv.RUN_ID)], semconv.AGENT_NAME) == f"r{model[1:]}"
        elif model.startswith("after"):
            assert of(call, semconv.RUN_ID) not in by_run
    steps = [span for span in spans if span.name == "agent.step"]
    assert len(steps) == 6
    assert all(of(step, semconv.RUN_ID) in by_run for step in steps)
    nothing_left()


def test_who_leaves_a_shared_block_first_ends_his_own() -> None:
    shared, inside, leave = agent.step(tool="shared"), threading.Event(), threading.Event()

    def stays() -> None:
        with agent.run("stays"), shared:
            inside.set()
            leave.wait(10)

    with capture() as captured:
        with agent.run("leaves"):
            shared.__enter__()
            thread = threading.Thread(target=stays)
            thread.start()
            inside.wait(10)
            shared.__exit__(None, None, None)
            ended = [of(span, semconv.AGENT_NAME) for span in captured.spans()]
        leave.set()
        thread.join()
    assert ended == ["leaves"]


def test_a_span_of_somebody_else_between_blocks(scene: Scene) -> None:
    with capture() as captured:
        tracer = captured.tracer_provider.get_tracer("theirs")
        with agent.run("coder"), tracer.start_as_current_span("theirs"):
            with agent.step(tool="step"):
                ask(scene, "in step")
            ask(scene, "in theirs")
        assert parents(captured) == {
            "in step": "step",
            "step": "theirs",
            "in theirs": "theirs",
            "theirs": "invoke_agent coder",
            "invoke_agent coder": None,
        }


def test_a_context_that_somebody_attached_and_left_is_taken_off_with_the_block() -> None:
    with capture():
        before = otel_context.get_current()
        with agent.run("coder"):
            otel_context.attach(otel_context.set_value("key", "value"))
            with agent.step():
                pass
            assert otel_context.get_value("key") == "value"
        otel_context.attach(before)
    assert runs.place() is None


def test_an_exit_without_an_entry_and_a_second_exit_are_nothing() -> None:
    with capture() as captured:
        block = agent.run("coder")
        block.__exit__(None, None, None)
        with block:
            pass
        block.__exit__(None, None, None)
        assert len(captured.spans()) == 1
    nothing_left()


# --- generators that open blocks themselves ---------------------------------------------------------------------------


def working(scene: Scene, name: str) -> Iterator[str]:
    with agent.run(name), agent.step(tool=f"step of {name}"):
        ask(scene, f"{name} 1")
        yield name
        ask(scene, f"{name} 2")
        yield name


def test_generators_side_by_side_leave_nothing_behind(scene: Scene) -> None:
    with capture() as captured:
        first, second = working(scene, "a"), working(scene, "b")
        for _ in zip(first, second, strict=True):
            pass
        ask(scene, "after")
        spans = captured.spans(roots=True)
    (after,) = [call for call in calls(spans) if of(call, semconv.REQUEST_MODEL) == "after"]
    (alone,) = [root for root in roots(spans) if of(root, semconv.RUN_IMPLICIT)]
    assert below(alone, [after])
    assert parents(captured)["a 1"] == "step of a"
    assert parents(captured)["b 1"] == "step of b"


@pytest.mark.parametrize("drop", ["close", "collect"])
def test_a_generator_that_is_left_open_and_dropped(drop: str, scene: Scene) -> None:
    with capture() as captured:
        left: Any = working(scene, "a")
        next(left)
        if drop == "close":
            left.close()
        del left
        gc.collect()
        ask(scene, "after")
        spans = captured.spans(roots=True)
    (after,) = [call for call in calls(spans) if of(call, semconv.REQUEST_MODEL) == "after"]
    (alone,) = [root for root in roots(spans) if of(root, semconv.RUN_IMPLICIT)]
    assert below(alone, [after])
    assert {of(span, semconv.RUN_OUTCOME) for span in roots(spans)} == {"cancelled", "ok"}


def test_a_generator_closed_by_another_thread_leaves_its_first_one_in_no_run_that_is_over(scene: Scene) -> None:
    with capture() as captured:
        left: Any = working(scene, "a")
        next(left)
        closer = threading.Thread(target=left.close)
        closer.start()
        closer.join()
        with agent.step(tool="after step"):
            ask(scene, "after")
        spans = captured.spans(roots=True)
    (after,) = [call for call in calls(spans) if of(call, semconv.REQUEST_MODEL) == "after"]
    (alone,) = [root for root in roots(spans) if of(root, semconv.RUN_IMPLICIT)]
    assert of(after, semconv.RUN_ID) == of(alone, semconv.RUN_ID)
    assert parents(captured)["after"] == "after step"
    assert parents(captured)["after step"] == alone.name


def test_an_async_generator_that_its_loop_closes(scene: Scene) -> None:
    async def produce(client: Any) -> AsyncIterator[int]:
        async with agent.run("a"), agent.cycle():
            await client.chat.completions.create(**{**ASK, "model": "inside"})
            yield 1
            yield 2

    async def main() -> None:
        async with async_openai(scene.provider.url) as client:
            async for _ in produce(client):
                break
            gc.collect()
            await asyncio.sleep(0.01)  # the loop closes it in a task of its own
            await client.chat.completions.create(**{**ASK, "model": "after"})

    with capture() as captured:
        asyncio.run(main())
        spans = captured.spans(roots=True)
    (after,) = [call for call in calls(spans) if of(call, semconv.REQUEST_MODEL) == "after"]
    (alone,) = [root for root in roots(spans) if of(root, semconv.RUN_IMPLICIT)]
    assert below(alone, [after])


# --- threads and tasks ------------------------------------------------------------------------------------------------


def in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_executor(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def in_to_thread(work: Callable[[], None]) -> None:
    async def main() -> None:
        await asyncio.to_thread(work)

    asyncio.run(main())


@pytest.mark.parametrize("hand", [in_thread, in_executor, in_to_thread])
def test_work_handed_over_stays_in_its_step_and_cycle(hand: Any, scene: Scene) -> None:
    def work() -> None:
        ask(scene, "handed")
        with agent.step(tool="inner"):
            ask(scene, "deeper")

    with capture() as captured:
        with agent.run("coder"), agent.cycle(), agent.cycle(), agent.step(tool="outer"):
            hand(work)
        found, told = parents(captured), calls(captured.spans())
    assert (found["handed"], found["inner"], found["deeper"]) == ("outer", "outer", "inner")
    assert [of(call, semconv.CYCLE) for call in told] == [2, 2]


def test_work_that_outlives_its_run_keeps_its_id(scene: Scene) -> None:
    go = threading.Event()

    def late() -> None:
        go.wait(10)
        ask(scene, "late")
        with agent.step(tool="late step"):
            pass

    with capture() as captured:
        with agent.run("coder") as this, agent.step(tool="started it"):
            thread = threading.Thread(target=late)
            thread.start()
        go.set()
        thread.join()
        spans = captured.spans(roots=True)
        assert parents(captured)["late"] == "started it"
        assert parents(captured)["late step"] == "started it"
    assert run_ids(spans) == {this.id}


def test_cycles_of_one_run_at_once_keep_apart(scene: Scene) -> None:
    async def one(client: Any, meet: asyncio.Barrier) -> tuple[int, Any]:
        with agent.cycle() as this:
            await meet.wait()
            response = await client.chat.completions.create(**{**ASK, "model": f"m{this.number}"})
            await meet.wait()
            return this.number, response

    async def main() -> None:
        meet = asyncio.Barrier(5)
        async with async_openai(scene.provider.url) as client:
            with agent.run("coder"):
                numbers = [number for number, _ in await asyncio.gather(*(one(client, meet) for _ in range(5)))]
        assert sorted(numbers) == [1, 2, 3, 4, 5]

    with capture() as captured:
        asyncio.run(main())
        told = calls(captured.spans())
    assert [of(call, semconv.REQUEST_MODEL) for call in told] == [f"m{of(call, semconv.CYCLE)}" for call in told]


def test_a_cancelled_task_leaves_its_blocks(scene: Scene) -> None:
    async def work(started: asyncio.Event) -> None:
        async with agent.run("coder"), agent.cycle(), agent.step(tool="s"):
            started.set()
            await asyncio.sleep(30)

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(work(started))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        nothing_left()

    with capture() as captured:
        asyncio.run(main())
        spans = {span.name: span for span in captured.spans()}
    assert of(spans["agent.step"], semconv.STEP_STATUS) == "cancelled"
    assert of(spans["invoke_agent coder"], semconv.RUN_OUTCOME) == "cancelled"
    assert of(spans["invoke_agent coder"], semconv.RUN_STOP_REASON) == "CancelledError"
