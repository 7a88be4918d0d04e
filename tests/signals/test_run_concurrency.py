# SPDX-License-Identifier: Apache-2.0
"""Runs side by side: work handed to threads, executors and tasks stays in its run, and runs do not mix."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from clients import ASK, async_openai
from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Tool, openai_chat
from runs_seen import below, calls, cycles, of, one_tree, roots, run_ids, trace_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from clients import Scene
    from otel_agent_instrumentation.testing.loopback import Received
    from otel_agent_instrumentation.testing.provider import Reply

MANY = 200
SOON = 10.0


def ask(scene: Scene, **changes: Any) -> Any:
    return scene.openai.chat.completions.create(**{**ASK, **changes})


# --- one run, many hands ----------------------------------------------------------------------------------------------


class Timed(threading.Thread):
    """A thread whose work is its own `run`, as many libraries write it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self.work = work

    def run(self) -> None:
        self.work()


def by_threads(work: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=work), threading.Thread(target=work, daemon=True), Timed(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_executor(work: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work), pool.submit(work)]:
            future.result()
        list(pool.map(lambda _: work(), range(2)))


def by_thread_within_a_thread(work: Callable[[], Any]) -> None:
    by_threads(lambda: by_executor(work))


@pytest.mark.parametrize("hands", [by_threads, by_executor, by_thread_within_a_thread])
@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_threads_that_a_run_starts_work_for_it(explicit: bool, hands: Any, scene: Scene) -> None:
    with capture() as captured:
        if explicit:
            with run("coder"):
                hands(lambda: ask(scene))
        else:
            ask(scene)
            hands(lambda: ask(scene))
        spans = captured.spans(roots=True)
    one_tree(spans)
    assert len(calls(spans)) >= 3
    assert set(cycles(spans)) == {1}


def test_a_thread_of_a_pool_that_is_used_again_inherits_nothing(scene: Scene) -> None:
    with capture() as captured, ThreadPoolExecutor(1) as pool:
        with run("first"):
            pool.submit(ask, scene).result()
        with run("second"):
            pool.submit(ask, scene).result()
        pool.submit(ask, scene).result()
        spans = captured.spans(roots=True)
    first, second, implicit = roots(spans)
    told = calls(spans)
    assert below(first, told[:1])
    assert below(second, told[1:2])
    assert below(implicit, told[2:])
    assert len(run_ids(spans)) == 3


async def _gathered(ask_once: Any) -> None:
    await asyncio.gather(*(ask_once() for _ in range(3)))


async def _tasks(ask_once: Any) -> None:
    for task in [asyncio.create_task(ask_once()) for _ in range(3)]:
        await task


async def _group(ask_once: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ask_once())


@pytest.mark.parametrize("hands", [_gathered, _tasks, _group])
@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_tasks_that_a_run_starts_work_for_it(explicit: bool, hands: Any, scene: Scene) -> None:
    async def main() -> None:
        async with async_openai(scene.provider.url) as client:

            async def once() -> None:
                await client.chat.completions.create(**ASK)

            if explicit:
                async with run("coder"):
                    await hands(once)
            else:
                await once()
                await hands(once)

    with capture() as captured:
        asyncio.run(main())
        spans = captured.spans(roots=True)
    one_tree(spans)
    assert len(calls(spans)) >= 3


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_threads_of_an_event_loop_work_for_the_run_of_their_task(explicit: bool, scene: Scene) -> None:
    async def work() -> None:
        await asyncio.to_thread(ask, scene)
        await asyncio.get_running_loop().run_in_executor(None, ask, scene)

    async def main() -> None:
        if explicit:
            with run("coder"):
                await work()
        else:
            ask(scene)
            await work()

    with capture() as captured:
        asyncio.run(main())
        spans = captured.spans(roots=True)
    one_tree(spans)
    assert len(calls(spans)) >= 2


# --- two requests of a server at once ---------------------------------------------------------------------------------


def _two_threads(one: Callable[[str], None]) -> None:
    both = [threading.Thread(target=one, args=(name,)) for name in "ab"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()


def test_two_requests_in_threads_are_two_runs(scene: Scene) -> None:
    meet = threading.Barrier(2, timeout=SOON)

    def handle(name: str) -> None:
        for turn in range(3):
            meet.wait()
            ask(scene, model=f"{name}{turn}")

    with capture() as captured:
        _two_threads(handle)
        spans = captured.spans(roots=True)
    assert_two_runs(spans)
    assert len(roots(spans)) == 2


def test_two_requests_in_tasks_are_two_runs(scene: Scene) -> None:
    async def handle(client: Any, name: str, meet: asyncio.Barrier) -> None:
        for turn in range(3):
            await meet.wait()
            await client.chat.completions.create(**{**ASK, "model": f"{name}{turn}"})

    async def main() -> None:
        meet = asyncio.Barrier(2)
        async with async_openai(scene.provider.url) as client:
            await asyncio.gather(*(handle(client, name, meet) for name in "ab"))

    with capture() as captured:
        asyncio.run(main())
        spans = captured.spans(roots=True)
    assert_two_runs(spans)
    assert len(roots(spans)) == 2


def test_two_requests_with_spans_of_the_server_keep_those_as_parents(scene: Scene) -> None:
    meet = threading.Barrier(2, timeout=SOON)
    with capture() as captured:
        tracer = captured.tracer_provider.get_tracer("server")

        def handle(name: str) -> None:
            with tracer.start_as_current_span(f"POST /{name}"):
                for turn in range(3):
                    meet.wait()
                    ask(scene, model=f"{name}{turn}")

        _two_threads(handle)
        spans = captured.spans(roots=True)
    assert_two_runs(spans)
    assert roots(spans) == []
    for name in "ab":
        (server,) = [span for span in spans if span.name == f"POST /{name}"]
        assert below(server, of_request(spans, name))


def assert_two_runs(spans: list[ReadableSpan]) -> None:
    first, second = of_request(spans, "a"), of_request(spans, "b")
    assert (len(first), len(second)) == (3, 3)
    for one in (first, second):
        assert (len(run_ids(one)), len(trace_ids(one))) == (1, 1)
    assert run_ids(first) != run_ids(second)
    assert trace_ids(first) != trace_ids(second)


def of_request(spans: list[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in calls(spans) if str(of(span, semconv.REQUEST_MODEL)).startswith(name)]


# --- many runs at once ------------------------------------------------------------------------------------------------


def by_model(received: Received) -> Reply:
    """A tool call, whose id is the asker's model, until its result is sent back."""
    sent = received.json()
    if sent["messages"][-1]["role"] == "tool":
        return openai_chat("Done.")
    return openai_chat(tools=[Tool(id=f"call-{sent['model']}")])


def turn(model: str, message: Any = None) -> dict[str, Any]:
    """What an agent sends: the question, or the tool's result."""
    messages: list[Any] = list(ASK["messages"])
    if message is not None:
        messages += [message, {"role": "tool", "tool_call_id": f"call-{model}", "content": "x"}]
    return {"model": model, "messages": messages}


def assert_no_cross_talk(spans: list[ReadableSpan], *, explicit: bool) -> None:
    told = roots(spans)
    assert len(told) == len(run_ids(spans)) == len(trace_ids(spans)) == MANY
    by_run = {of(root, semconv.RUN_ID): root for root in told}
    for run_id, root in by_run.items():
        mine = [span for span in calls(spans) if of(span, semconv.RUN_ID) == run_id]
        assert below(root, mine)
        assert cycles(mine) == [1, 2]
        (model,) = {of(span, semconv.REQUEST_MODEL) for span in mine}
        if explicit:
            assert {of(span, semconv.USER_ID) for span in [root, *mine]} == {f"user-{model}"}
            assert {of(span, semconv.AGENT_NAME) for span in [root, *mine]} == {f"agent-{model}"}


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_many_runs_as_tasks_do_not_mix(explicit: bool, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.provider, "_route", by_model)

    async def agent(client: Any, model: str, started: asyncio.Barrier) -> None:
        await started.wait()
        message = (await client.chat.completions.create(**turn(model))).choices[0].message
        await client.chat.completions.create(**turn(model, message))

    async def known(client: Any, model: str, started: asyncio.Barrier) -> None:
        async with run(f"agent-{model}", user=f"user-{model}"):
            await agent(client, model, started)

    async def main() -> None:
        started = asyncio.Barrier(MANY)
        async with async_openai(scene.provider.url) as client:
            await asyncio.gather(*((known if explicit else agent)(client, f"m{i}", started) for i in range(MANY)))

    with capture() as captured:
        asyncio.run(main())
        assert_no_cross_talk(captured.spans(roots=True), explicit=explicit)


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_many_runs_as_threads_do_not_mix(explicit: bool, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.provider, "_route", by_model)
    started = threading.Barrier(MANY, timeout=30)

    def agent(model: str) -> None:
        started.wait()
        message = scene.openai.chat.completions.create(**turn(model)).choices[0].message
        # The next turn in a thread of its own, which finds the run by its starter.
        worker = threading.Thread(target=scene.openai.chat.completions.create, kwargs=turn(model, message))
        worker.start()
        worker.join()

    def known(model: str) -> None:
        with run(f"agent-{model}", user=f"user-{model}"):
            agent(model)

    with capture() as captured:
        threads = [threading.Thread(target=known if explicit else agent, args=(f"m{i}",)) for i in range(MANY)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_no_cross_talk(captured.spans(roots=True), explicit=explicit)
