# SPDX-License-Identifier: Apache-2.0
"""200 runs of 5 cycles at once, as tasks, as threads and as processes: nothing of one carries another's id."""

from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import os
import subprocess
import sys
import sysconfig
import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import otel_agent_instrumentation as agent
from clients import ASK, Scene, async_openai
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.core.engine import sync_wrapper
from otel_agent_instrumentation.core.spec import Api, Request, Response
from otel_agent_instrumentation.envelope import line as envelope
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import openai_chat

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

RUNS, CYCLES = 200, 5
FOLDER = Path("logs/telemetry")
Span = dict[str, Any]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        scene.provider.reply = openai_chat()
        yield scene


def asked(number: int) -> dict[str, Any]:
    return {**ASK, "model": f"model-{number}"}


async def one_run(client: Any, number: int, meet: asyncio.Barrier) -> None:
    async with agent.run(f"agent-{number % 20}", user=f"user-{number}", tags={"number": str(number)}):
        await meet.wait()
        for _ in range(CYCLES):
            async with agent.cycle(), agent.step(f"step of {number}"):
                with agent.state("ACT"):
                    await client.chat.completions.create(**asked(number))


def one_run_sync(client: Any, number: int, meet: Any) -> None:
    with agent.run(f"agent-{number % 20}", user=f"user-{number}", tags={"number": str(number)}):
        meet.wait()
        for _ in range(CYCLES):
            with agent.cycle(), agent.step(f"step of {number}"), agent.state("ACT"):
                if client is not None:
                    client.chat.completions.create(**asked(number))


def by_tasks(scene: Scene) -> None:
    async def main() -> None:
        meet = asyncio.Barrier(RUNS)
        async with async_openai(scene.provider.url) as client:
            await asyncio.gather(*(one_run(client, number, meet) for number in range(RUNS)))

    asyncio.run(main())


def by_threads(scene: Scene) -> None:
    meet = threading.Barrier(RUNS, timeout=60)
    threads = [threading.Thread(target=one_run_sync, args=(scene.openai, n, meet)) for n in range(RUNS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_processes() -> None:
    """Forked at once; without calls, which would be 200 clients and connections."""
    context = multiprocessing.get_context("fork")
    meet = context.Barrier(RUNS, timeout=200)
    processes = [context.Process(target=one_run_sync, args=(None, n, meet)) for n in range(RUNS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {process.exitcode for process in processes} == {0}


def number_of(line: envelope.Line) -> str:
    return line.tags["number"]


def assert_apart(told: list[envelope.Line], *, calls: bool) -> None:
    """Every line of a run is its own, in the right cycle, below the right span."""
    by_run: dict[str, list[envelope.Line]] = defaultdict(list)
    for line in told:
        if line.event != semconv.EVENT_RESOURCE:
            by_run[line.run_id].append(line)
    assert len(by_run) == RUNS
    for mine in by_run.values():
        (number,) = {number_of(line) for line in mine}
        spans = [line.payload for line in mine if line.event == semconv.EVENT_SPAN_ENDED]
        assert len(spans) == 1 + CYCLES * (3 if calls else 2)
        assert len({span["trace_id"] for span in spans}) == 1
        by_id = {span["span_id"]: span for span in spans}
        assert {span["attributes"][semconv.USER_ID] for span in spans} == {f"user-{number}"}
        assert {span["attributes"][semconv.AGENT_NAME] for span in spans} == {f"agent-{int(number) % 20}"}
        for span in spans:
            assert_place(span, by_id, number)
        tasks = [line for line in mine if line.event in semconv.EVENT_TASKS]
        assert [line.event for line in tasks] == ["task_started", "task_completed"]
        assert {by_id[str(line.span_id)]["parent_span_id"] for line in tasks} == {None}
        others = {semconv.EVENT_SPAN_ENDED, semconv.EVENT_SESSION_START, semconv.EVENT_SESSION_END}
        events = [line for line in mine if line.event not in {*others, *semconv.EVENT_TASKS}]
        assert len(events) == CYCLES * 4 + calls  # the same question in every cycle: a loop that is suspected
        for event in events:
            above = by_id[str(event.span_id)]
            assert above["attributes"][semconv.CYCLE] == event.cycle
            if event.event == semconv.EVENT_STEP_STARTED:
                assert event.payload["description"] == f"step of {number}"


ABOVE = {"agent.cycle": "invoke_agent", "agent.step": "agent.cycle", "chat": "agent.step"}


def assert_place(span: Span, by_id: dict[str, Span], number: str) -> None:
    kind = span["name"].partition(" ")[0]
    if kind == "invoke_agent":
        assert span["parent_span_id"] is None
        assert span["attributes"][semconv.RUN_CYCLES] == CYCLES
        return
    above = by_id[span["parent_span_id"]]
    assert above["name"].partition(" ")[0] == ABOVE[kind]
    assert kind == "agent.cycle" or above["attributes"][semconv.CYCLE] == span["attributes"][semconv.CYCLE]
    assert kind != "chat" or span["name"] == f"chat model-{number}"


@pytest.mark.parametrize("way", [by_tasks, by_threads])
def test_runs_at_once_keep_apart(way: Any, scene: Scene) -> None:
    with capture() as captured:
        way(scene)
        told, spans, logs = captured.lines(), captured.spans(roots=True), captured.logs(roots=True)
        counted = {str(p.attributes[semconv.AGENT_NAME]): p.value for p in captured.points(semconv.CYCLES)}
        ran = sum(point.count for point in captured.points(semconv.INVOKE_AGENT_DURATION))
        labels = repr([dict(p.attributes) for name in METRICS for p in captured.points(name)])
    assert_apart(told, calls=True)
    ledger = {
        line.payload["span_id"]: line.payload["attributes"] for line in told if line.event == semconv.EVENT_SPAN_ENDED
    }
    assert len(spans) == len(ledger)
    for span in spans:
        assert span.context is not None
        assert (span.attributes or {})[semconv.RUN_ID] == ledger[f"{span.context.span_id:016x}"][semconv.RUN_ID]
    for log in logs:
        assert log.attributes[semconv.RUN_ID] == ledger[f"{log.span_id:016x}"][semconv.RUN_ID]
    assert counted == {f"agent-{number}": RUNS // 20 * CYCLES for number in range(20)}
    assert ran == RUNS
    assert "user-" not in labels
    assert not any(line.run_id in labels for line in told)


METRICS = (semconv.CYCLES, semconv.CYCLE_DURATION, semconv.STEP_DURATION, semconv.STATE_DWELL, semconv.STATE_ENTRIES)


def test_runs_at_once_in_processes_keep_apart() -> None:
    launcher = Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"
    done = subprocess.run(
        [str(launcher), sys.executable, __file__],
        check=False,
        capture_output=True,
        timeout=280,
        env={
            **os.environ,
            "OTEL_AGENT_SUMMARY": "false",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1] / "tools"), os.environ.get("PYTHONPATH", "")]),
        },
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert lines.check_folder(FOLDER) == []
    files = {file: [*map(envelope.decode, file.read_bytes().splitlines())] for file in FOLDER.glob("*.jsonl")}
    assert len(files) == RUNS
    for file, told in files.items():
        assert {f"{line.run_id}.jsonl" for line in told} == {file.name}
        assert len({line.pid for line in told}) == 1
        assert [line.seq for line in told] == [*range(1, len(told) + 1)]
    assert_apart([line for told in files.values() for line in told], calls=False)


def test_memory_is_flat_over_twenty_thousand_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the engine, in runs, cycles, steps and states; without a client, whose own caches would be measured."""
    monkeypatch.setenv("OTEL_AGENT_LEDGER", "false")
    call = sync_wrapper("test", _asks, lambda engine, call, result: engine.end(call))

    def thousand() -> None:
        for number in range(20):
            with agent.run("coder", user=f"user-{number}"):
                for _ in range(CYCLES):
                    with agent.cycle(), agent.step("s"), agent.state("ACT"):
                        for _ in range(10):
                            call(lambda: None, None, (), {})

    with capture() as captured:
        seen: list[int] = []
        for _ in range(20):
            thousand()
            assert len(captured.calls()) == 1000
            captured.clear()
            gc.collect()
            seen.append(sys.getallocatedblocks())
    # The lowest of some: what the writer's thread has in hand comes and goes.
    assert min(seen[-8:]) - min(seen[4:12]) < 2000, seen


def _asks(instance: Any, args: Any, kwargs: Any) -> tuple[Api, Request]:
    request = Request("chat", "openai", model="m", answers=(f"call-{next(_COUNT)}",))
    return Api("chat", lambda body, request: None, lambda node: Response()), request


_COUNT = itertools.count()


if __name__ == "__main__":
    by_processes()
