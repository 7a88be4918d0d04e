# SPDX-License-Identifier: Apache-2.0
"""The monitor notes calls and counts them in bursts: whoever looks, and whatever comes between, sees all that ended."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import cycle, emit_event, run, state, tool
from otel_agent_instrumentation.core import runs
from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.monitors.limits import Limits
from otel_agent_instrumentation.monitors.performance import ALERT
from otel_agent_instrumentation.testing.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_agent_instrumentation.monitors.performance import PerformanceMonitor
    from otel_agent_instrumentation.testing.capture import Captured

THREADS = 4
CALLS = 200


@pytest.fixture(params=[False, True], ids=["application's providers", "own providers"])
def captured(request: pytest.FixtureRequest) -> Iterator[Captured]:
    with capture() as captured:
        engine.defers = request.param
        yield captured


@tool
def fetch(value: object = None) -> object:
    return value


def calls(monitor: PerformanceMonitor) -> dict[str, int]:
    return {name: one["calls"] for name, one in monitor.get_tool_stats().items()}


def until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_who_looks_sees_all_that_ended_whoever_counts_it(monitor, captured):
    wrong: list[tuple[int, int]] = []
    done = threading.Event()

    def work(name: str) -> None:
        own = tool(name=name)(lambda: None)
        for number in range(1, CALLS + 1):
            own()
            seen = calls(monitor)[name]
            if seen != number:
                wrong.append((seen, number))

    def look() -> None:
        while not done.wait(0.001):
            monitor.get_metrics()
            engine.drain()

    threads = [threading.Thread(target=work, args=(f"tool_{number}",), daemon=True) for number in range(THREADS)]
    looking = threading.Thread(target=look, daemon=True)
    for thread in (*threads, looking):
        thread.start()
    for thread in threads:
        thread.join(60)
    done.set()
    looking.join(30)
    assert not any(thread.is_alive() for thread in (*threads, looking))
    assert wrong == []
    assert calls(monitor) == {f"tool_{number}": CALLS for number in range(THREADS)}


def test_nobody_waits_for_the_engine_and_keeps_it_waiting(monitor, captured, monkeypatch, tmp_path):
    """Who tells an end holds the engine's lock, and may want the monitor's."""
    drain, held = engine.drain, []

    def seen(wait: float = 0.0) -> None:
        held.append(monitor._keeper.lock._is_owned())  # type: ignore[attr-defined]
        drain(wait)

    monkeypatch.setattr(engine, "drain", seen)
    looks: list[Callable[[], object]] = [
        monitor.get_metrics,
        monitor.get_tool_stats,
        monitor.get_state_stats,
        monitor.get_llm_stats,
        lambda: monitor.should_disable("fetch"),
        lambda: monitor.export(tmp_path / "performance.json"),
        monitor.reset,
        lambda: monitor.bus.emit("session:start"),
        lambda: emit_event("session_start"),
        monitor.destroy,
    ]
    for number, look in enumerate(looks, 1):
        look()
        assert len(held) >= number
    assert not any(held)


def test_an_alert_comes_by_itself_in_the_run_of_its_call(monitor, captured):
    heard: list[Any] = []

    def hear(told: Any) -> None:
        place = runs.place()
        assert place is not None
        heard.append((told["name"], place.run, place.cycle, threading.current_thread().name))

    monitor.bus.on(ALERT, hear)
    monitor._keeper.limits = Limits(tool_seconds=0.0)
    with run("agent") as going, cycle(), cycle():
        fetch()
        assert until(lambda: heard)
    ((name, where, number, thread),) = heard
    assert (name, where.id, number) == ("fetch", going.id, 2)
    if not engine.defers:
        assert thread == "otel-agent-reaper"  # the caller was not asked to count, and no thread was made for it


class Thing:
    """Something of the caller's."""


def test_nothing_of_the_callers_is_kept(monitor):
    with capture():
        thing = Thing()
        known = weakref.ref(thing)
        fetch(thing)
        assert monitor._observed._notes
        del thing
        gc.collect()
        assert known() is None


def test_it_counts_by_itself_where_much_is_called(monitor):
    with capture():
        for _ in range(1000):
            fetch()
        assert len(monitor._observed._notes) < 200


@pytest.mark.parametrize("how", ["reset", "bus", "event"])
def test_what_ended_before_it_began_anew_is_over_with_its_cycle(how, monitor, captured):
    begin: dict[str, Callable[[], object]] = {
        "reset": monitor.reset,
        "bus": lambda: monitor.bus.emit("session:restart"),
        "event": lambda: emit_event("session_start"),
    }
    with run("agent"), cycle():
        fetch()
        begin[how]()
        fetch()
        fetch()
    assert calls(monitor) == {"fetch": 2}
    assert monitor.get_metrics()["session"]["cycles"] == 0


def test_an_event_of_a_later_cycle_does_not_hide_a_call_of_an_earlier_one(monitor):
    with capture(), run("agent"):
        with cycle(), cycle():
            monitor.reset()
        with cycle():
            fetch()
        with cycle(), state("ACT"):
            pass
        assert monitor.get_metrics()["session"]["cycles"] == 2


def test_who_told_it_first_is_believed(monitor):
    with capture():
        fetch()
        for event in ("start", "end"):
            monitor.bus.emit(f"tool:{event}", {"toolName": "fetch"})
        fetch()
        assert calls(monitor) == {"fetch": 2}
        assert monitor.get_metrics()["events"]["doubled"] == 1


# --- ends and forks --------------------------------------------------------------------------------------------------

SETUP = """
import os, sys, time
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
import otel_agent_instrumentation as ours
ours.instrument(tracer_provider=TracerProvider(), meter_provider=MeterProvider(), logger_provider=LoggerProvider())
monitor = ours.performance_monitor
@ours.tool
def fetch():
    pass
"""
FORKED = f"""{SETUP}
fetch()
assert monitor._observed._notes
if os.fork():
    _, status = os.wait()
    assert monitor.get_tool_stats()["fetch"]["calls"] == 1
    sys.exit(os.waitstatus_to_exitcode(status))
assert monitor.get_tool_stats() == {{}}
heard = []
monitor.bus.on("performance:alert", heard.append)
fetch()
deadline = time.monotonic() + 30
while not heard:
    assert time.monotonic() < deadline
    time.sleep(0.01)
assert monitor.get_tool_stats()["fetch"]["calls"] == 1
"""


def run_script(script: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "OTEL_AGENT_SUMMARY": "false",
            "OTEL_AGENT_MONITOR": "true",
            "OTEL_AGENT_MONITOR_EXPORT": "performance.json",
            "OTEL_AGENT_MONITOR_TOOL_SECONDS": "1e-9",
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs: fork")
def test_a_forked_child_counts_what_it_calls_and_the_parent_what_it_called(tmp_path):
    run_script(FORKED, tmp_path)


def test_the_last_call_is_counted_and_warned_of_at_the_exit(tmp_path):
    run_script(f"{SETUP}\nfetch()\nassert monitor._observed._notes", tmp_path)
    (written,) = json.loads((tmp_path / "performance.json").read_text())["tools"]
    assert (written["name"], written["calls"]) == ("fetch", 1)
    ledger = "".join(one.read_text() for one in (tmp_path / "logs" / "telemetry").iterdir())
    assert ledger.count("alert_triggered") == 1
