# SPDX-License-Identifier: Apache-2.0
"""The monitor beside the instrumentation (P2 to P8): unchanged code is counted as it runs."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients import ASK, Scene
from otel_agent_instrumentation import cycle, emit_event, run, semconv, state, tool
from otel_agent_instrumentation.core.reaper import reaper
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import openai_error
from runs_seen import chat_agent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_instrumentation.testing.capture import Captured

EMPTY_SESSION = {"cycles": 0, "artifacts": {"created": 0, "modified": 0, "deleted": 0}}


@tool
def fetch(error: BaseException | None = None) -> str:
    if error is not None:
        raise error
    return "done"


@tool
async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


@tool
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@pytest.fixture
def captured() -> Iterator[Captured]:
    with capture() as captured:
        yield captured


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def counts(monitor) -> dict[str, tuple[int, int, int]]:
    return {name: (one["calls"], one["errors"], one["cancelled"]) for name, one in monitor.get_tool_stats().items()}


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_tool_that_ends_in_any_way_is_counted(monitor, captured):
    fetch()
    for error in (ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fetch(error)

    async def cancelled() -> None:
        task = asyncio.create_task(wait(60))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancelled())
    assert counts(monitor) == {"fetch": (3, 1, 1), "wait": (1, 0, 1)}
    assert len(captured.spans()) == 4


def test_durations_are_what_a_clock_outside_says(monitor, captured):
    """The long form, 200 calls of 50 to 900 ms, is a benchmark (`monitor`)."""
    outside: list[float] = []
    told: list[float] = []
    seen = monitor._keeper.facts.tools

    async def call(seconds: float) -> None:
        begin = time.perf_counter()
        await wait(seconds)
        end = time.perf_counter()
        outside.append(end - begin)
        monitor._keeper.flush()
        told.append(seen.known["wait"].durations.last)

    async def all_at_once() -> None:
        await asyncio.gather(*(call(0.05 + number * 0.005) for number in range(60)))

    asyncio.run(all_at_once())
    for number in range(5):
        begin = time.perf_counter()
        sleep(0.02 + number / 100)
        outside.append(time.perf_counter() - begin)
        monitor._keeper.flush()
        told.append(seen.known["sleep"].durations.last)
    assert counts(monitor) == {"wait": (60, 0, 0), "sleep": (5, 0, 0)}
    assert statistics.median(abs(one - other) for one, other in zip(outside, told, strict=True)) < 0.005
    # What is offered of them is within half a percent of that.
    times = monitor.get_tool_stats()["wait"]["seconds"]
    assert times["p50"] == pytest.approx(sorted(told[:60])[29], rel=0.006)


def test_the_tools_of_an_unchanged_agent_are_counted_and_said_to_be_bounds(monitor, captured, scene):
    chat_agent(scene)
    told = monitor.get_tool_stats()
    spans = [span for span in captured.spans() if semconv.TOOL_INFERRED in (span.attributes or {})]
    assert len(spans) == sum(one["calls"] for one in told.values()) == sum(one["inferred"] for one in told.values()) > 0
    assert [one["seconds"]["count"] for one in told.values()] == [0] * len(told)
    assert monitor.get_metrics()["session"]["cycles"] == max(span.attributes[semconv.CYCLE] for span in spans) + 1


def test_one_that_the_agent_tells_as_well_counts_once(monitor, captured):
    for _ in range(3):
        monitor.bus.emit("tool:start", {"toolName": "fetch"})
        fetch()
        monitor.bus.emit("tool:end", {"toolName": "fetch"})
    assert counts(monitor) == {"fetch": (3, 0, 0)}
    assert monitor.get_metrics()["events"]["doubled"] == 3


# --- models ----------------------------------------------------------------------------------------------------------


def test_requests_are_counted_with_tokens_and_errors(monitor, captured, scene, monkeypatch):
    scene.openai.chat.completions.create(**ASK)
    list(scene.openai.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    list(scene.openai.chat.completions.create(**ASK, stream=True))
    scene.provider.enqueue(openai_error(500))
    with pytest.raises(Exception, match="500"):
        scene.openai.chat.completions.create(**ASK)
    told = monitor.get_llm_stats()
    assert (told["requests"], told["errors"], told["without_usage"]) == (4, 1, 1)
    assert told["seconds"]["count"] == 4
    assert told["first_chunk_seconds"]["count"] == 2
    assert list(told["models"]) == [ASK["model"]]
    assert {kind: told["tokens"][kind] for kind in ("input", "output")} == captured.tokens()


# --- states, cycles, artifacts ---------------------------------------------------------------------------------------


def act(folder: Path) -> None:
    with run("agent"):
        for number in range(3):
            with cycle():
                for name in ("OBSERVE", "ACT"):
                    with state(name):
                        fetch()
                (folder / "kept.txt").write_text(str(number))
        (folder / "gone.txt").write_text("x")
        (folder / "gone.txt").unlink()


@pytest.mark.parametrize("ledger", ["true", "false"])
def test_states_cycles_and_artifacts_are_counted_with_and_without_a_ledger(monitor, ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_LEDGER", ledger)
    with capture():
        act(tmp_path)
        session = monitor.get_metrics()["session"]
    states = monitor.get_state_stats()
    assert {name: (one["entries"], one["exits"]) for name, one in states.items()} == {"OBSERVE": (3, 3), "ACT": (3, 3)}
    assert session["cycles"] == 3
    assert session["artifacts"] == {"created": 2, "modified": 1, "deleted": 1}


def test_what_began_before_a_reset_counts_nowhere(monitor, captured, tmp_path):
    with run("agent"), cycle():
        with state("ACT"):
            thread = threading.Thread(target=sleep, args=(0.2,))
            thread.start()
            time.sleep(0.05)
            monitor.reset()
        thread.join(30)
        captured.spans()
    told = monitor.get_metrics()
    assert {key: told["session"][key] for key in EMPTY_SESSION} == EMPTY_SESSION
    assert told["tools"] == {}
    assert told["states"].get("ACT", {"entries": 0, "exits": 0})["exits"] == 0
    act(tmp_path)
    assert counts(monitor) == {"fetch": (6, 0, 0)}


def test_a_session_or_persona_that_begins_anew_begins_at_nothing(monitor, captured):
    for event in ("session_start", "persona_activated", "persona_switched"):
        fetch()
        assert counts(monitor) == {"fetch": (1, 0, 0)}
        emit_event(event)
        assert counts(monitor) == {}


def test_it_listens_whenever_it_is_begun_and_through_an_uninstrument(monitor):
    for _ in range(2):
        with capture():
            fetch()
    fetch()
    assert counts(monitor) == {"fetch": (2, 0, 0)}
    with capture():
        monitor.destroy()
        fetch()
        assert counts(monitor) == {"fetch": (2, 0, 0)}
        monitor.init()
        fetch()
        assert counts(monitor) == {"fetch": (3, 0, 0)}


# --- memory ----------------------------------------------------------------------------------------------------------


def until(condition) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_the_memory_is_sampled_until_the_end(monitor):
    monitor.destroy()
    monitor._memory.start(0.01)
    assert until(lambda: monitor.get_memory_stats()["samples"] >= 5)
    told = monitor.get_memory_stats()
    page = os.sysconf("SC_PAGE_SIZE")
    now = int(Path("/proc/self/statm").read_text().split()[1]) * page
    assert told["source"] in {"psutil", "/proc"}
    assert 0.3 * now < told["min_bytes"] <= told["rss_bytes"] <= told["peak_bytes"] < 3 * now
    assert told["sampling"]
    monitor._memory.stop()
    seen = monitor.get_memory_stats()["samples"]
    done = threading.Event()
    reaper.at(time.monotonic() + 0.2, done.set)
    assert done.wait(30)
    assert monitor.get_memory_stats()["samples"] == seen
    assert not monitor.get_memory_stats()["sampling"]


def test_growth_is_told(monitor):
    monitor.destroy()
    monitor.reset()
    monitor._memory._samples.extend((float(second), 1000 + 10 * second) for second in range(60))
    assert monitor.get_memory_stats()["growth_bytes_per_minute"] == pytest.approx(600)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs: fork")
def test_a_forked_child_counts_its_own(tmp_path):
    script = """
import os, sys, time
from otel_agent_instrumentation import performance_monitor as monitor
monitor.init()
def call():
    monitor.bus.emit("tool:start", {"tool": "t"})
    monitor.bus.emit("tool:end", {"tool": "t"})
call()
if os.fork():
    _, status = os.wait()
    assert monitor.get_tool_stats()["t"]["calls"] == 1
    sys.exit(os.waitstatus_to_exitcode(status))
assert monitor.get_tool_stats() == {}
call()
deadline = time.monotonic() + 30
while not monitor.get_memory_stats()["samples"]:
    assert time.monotonic() < deadline
    time.sleep(0.01)
assert monitor.get_tool_stats()["t"]["calls"] == 1
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "OTEL_AGENT_SUMMARY": "false", "PYTHONWARNINGS": "ignore"},
    )
    assert (done.returncode, done.stderr) == (0, "")
