# SPDX-License-Identifier: Apache-2.0
"""What the monitor warns of, what it advises, and the file that it writes (P9)."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import performance_monitor, tool
from otel_agent_instrumentation.monitors.limits import Limits, at_least
from otel_agent_instrumentation.monitors.performance import ALERT
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_instrumentation.monitors.performance import PerformanceMonitor

IDS = itertools.count()


def told(monitor: PerformanceMonitor, name: str, *seconds: float, event: str = "tool:end") -> None:
    """Calls of a tool that took so long."""
    for one in seconds:
        monitor.bus.emit("tool:start", {"toolName": name, "timestamp": 0})
        monitor.bus.emit(event, {"toolName": name, "timestamp": one * 1000})


def asked(monitor: PerformanceMonitor, *seconds: float) -> None:
    for one in seconds:
        request = next(IDS)
        monitor.bus.emit("api:request:start", {"requestId": request, "model": "m", "timestamp": 0})
        monitor.bus.emit("api:request:end", {"requestId": request, "timestamp": one * 1000})


# --- alerts ----------------------------------------------------------------------------------------------------------


def test_what_takes_longer_than_its_limit_is_an_alert(monitor, alerts):
    monitor._keeper.limits = Limits(tool_seconds=2.0, model_seconds=5.0)
    told(monitor, "search", 1.0, 2.0)
    asked(monitor, 4.0, 5.0)
    assert alerts == []
    told(monitor, "search", 2.5)
    asked(monitor, 6.0)
    assert [(one.rule, one.name, one.value, one.limit) for one in alerts] == [
        ("slow_tool", "search", 2.5, 2.0),
        ("slow_model", "m", 6.0, 5.0),
    ]
    assert [one["rule"] for one in monitor.get_metrics()["alerts"]] == ["slow_tool", "slow_model"]


def test_a_spike_is_one_beside_what_was_before(monitor, alerts):
    told(monitor, "young", 0.2, 9.0)
    told(monitor, "old", *[0.2] * 20, 1.9)
    told(monitor, "quick", *[0.001] * 50, 0.9)
    assert alerts == []
    told(monitor, "old", 9.0)
    (alert,) = alerts
    assert (alert.rule, alert.name, alert.value) == ("spike", "old", 9.0)
    assert alert.limit == pytest.approx(10 * (20 * 0.2 + 1.9) / 21)


def test_the_same_is_told_once_a_minute_and_each_subject_by_itself(monitor, alerts, monkeypatch):
    monitor._keeper.limits = Limits(tool_seconds=1.0)
    told(monitor, "a", 2.0, 2.0, 2.0)
    told(monitor, "b", 2.0)
    assert [one.name for one in alerts] == ["a", "b"]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    told(monitor, "a", 2.0)
    assert [one.name for one in alerts] == ["a", "b", "a"]


def test_a_tool_that_fails_is_an_alert_once_it_is_no_accident(monitor, alerts):
    told(monitor, "broken", 0.1, 0.1, 0.1, event="tool:error")
    told(monitor, "shaky", *[0.1] * 10)
    told(monitor, "shaky", *[0.1] * 9, event="tool:error")
    assert alerts == []
    told(monitor, "broken", 0.1, event="tool:error")
    assert [(one.rule, one.name) for one in alerts] == [("failing_tool", "broken")]


def test_memory_beyond_its_limit_is_an_alert(monitor, alerts):
    monitor._keeper.limits = Limits(memory_bytes=1 << 40)
    monitor._sampled(1 << 30)
    assert alerts == []
    monitor._sampled(1 << 41)
    assert [(one.rule, one.name) for one in alerts] == [("memory", "process")]
    assert alerts[0].message() == "the process takes 2097152 MiB of memory, more than 1048576 MiB"


def test_an_alert_is_said_on_the_bus(monitor):
    heard: list[Any] = []
    monitor.bus.on(ALERT, heard.append)
    monitor._keeper.limits = Limits(tool_seconds=1.0)
    told(monitor, "a", 2.0)
    assert [(one["rule"], one["message"]) for one in heard] == [("slow_tool", "the tool a took 2.0 s, more than 1.0 s")]


@tool
def slow() -> None:
    time.sleep(0.02)


@pytest.fixture
def public() -> Iterator[PerformanceMonitor]:
    yield performance_monitor
    performance_monitor.destroy()
    performance_monitor.reset()


def test_an_alert_is_an_event_of_the_ledger_and_a_log_record(public, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_MONITOR_TOOL_SECONDS", "0.001")
    with capture() as captured:
        public.init()
        slow()
        lines = [line for line in captured.lines() if line.event == "alert_triggered"]
        logs = [log for log in captured.logs() if log.event_name == "alert_triggered"]
    (line,), (log,) = lines, logs
    assert line.payload["component"] == "performance_monitor"
    assert (line.payload["rule"], line.payload["subject"], line.payload["limit"]) == ("slow_tool", "slow", 0.001)
    assert line.payload["value"] >= 0.02
    assert line.tags["severity"] == "warning"  # type: ignore[index]
    assert log.severity_number.name == "WARN"
    assert log.body["message"] == line.payload["message"]


# --- advice ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "count", "least"), [(0, 0, 0.0), (0, 50, 0.0), (1, 1, 0.207), (4, 4, 0.510), (25, 50, 0.366)]
)
def test_the_least_rate_of_failures_is_wilsons(failed, count, least):
    assert at_least(failed, count) == pytest.approx(least, abs=0.001)


def test_a_tool_that_fails_or_is_slow_had_better_be_disabled(monitor):
    told(monitor, "fine", *[0.1] * 5)
    told(monitor, "broken", *[0.1] * 4, event="tool:error")
    told(monitor, "slow", *[3.0] * 3)
    told(monitor, "unlucky", 0.1, event="tool:error")
    assert not monitor.should_disable("fine")
    assert not monitor.should_disable("never called")
    assert not monitor.should_disable("unlucky")
    assert not monitor.should_disable("slow")  # no limit is set
    broken, slow = monitor.should_disable("broken"), monitor.should_disable("slow", seconds=2.0)
    assert broken
    assert broken.reasons == ("failing",)
    assert (broken.evidence["recent_errors"], broken.evidence["recent_calls"]) == (4, 4)
    assert broken.evidence["error_rate_at_least"] > broken.evidence["error_rate_limit"] == 0.5
    assert slow.reasons == ("slow",)
    assert slow.evidence["seconds_p50"] == pytest.approx(3.0, rel=0.005)


def test_a_tool_that_works_again_is_taken_back(monitor):
    told(monitor, "t", *[0.1] * 20, event="tool:error")
    assert monitor.should_disable("t")
    told(monitor, "t", *[0.1] * 50)
    assert not monitor.should_disable("t")


def test_a_tool_whose_time_is_not_known_is_not_slow(monitor):
    for _ in range(5):
        monitor._keeper.tool("engine", "asked_for", None, "ok")
    assert not monitor.should_disable("asked_for", seconds=1.0)
    assert monitor.should_disable("asked_for", seconds=1.0).evidence["inferred"] == 5


# --- the file --------------------------------------------------------------------------------------------------------


def test_all_of_it_is_written_redacted_and_for_its_owner_alone(monitor, tmp_path):
    secret = "-".join(("sk", "ant", "api03", "q7" * 40))
    told(monitor, "get_api_token", 0.5)
    told(monitor, f"curl {secret}", 0.5)
    asked(monitor, 1.0)
    file = tmp_path / "performance.json"
    file.write_text("old")
    assert monitor.export(file)
    written = json.loads(file.read_text())
    assert secret not in file.read_text()
    first = written["tools"][0]
    assert (first["name"], first["calls"], first["seconds"]["max"]) == ("get_api_token", 1, 0.5)
    assert [one["name"] for one in written["llm"]["models"]] == ["m"]
    assert written["llm"]["tokens"]["input"] == 0
    assert written["redacted_fields"] == ["$.tools[1].name"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.logs
def test_a_file_that_cannot_be_written_is_one_warning(monitor, tmp_path, caplog):
    for _ in range(2):
        assert not monitor.export(tmp_path / "none" / "performance.json")
    (record,) = caplog.records
    assert "cannot write" in record.getMessage()
    assert "No such file or directory" in record.getMessage()


# --- by the settings -------------------------------------------------------------------------------------------------

AGENT = """
    import os, sys
    import openai
    client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="k")
    for _ in range(3):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    print("otel_agent_instrumentation.monitors" in sys.modules)
"""
BY_BUS = """
    import sys
    from otel_agent_instrumentation import performance_monitor
    for event in ("start", "end"):
        performance_monitor.bus.emit(f"tool:{event}", {"toolName": "t"})
    print("otel_agent_instrumentation.monitors" in sys.modules)
"""


@pytest.mark.parametrize(("on", "launched"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("script", [AGENT, BY_BUS], ids=["calls", "bus"])
def test_the_settings_begin_it_and_have_it_written_at_the_exit(script, on, launched, tmp_path):
    if script is AGENT and not launched:
        script = f"    import otel_agent_instrumentation as ours; ours.instrument()\n{AGENT}"
    (tmp_path / "agent.py").write_text(textwrap.dedent(script.strip("\n")))
    launcher = [str(Path(sys.executable).parent / "opentelemetry-instrument")] if launched else []
    with Provider() as provider:
        done = subprocess.run(
            [*launcher, sys.executable, "agent.py"],
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PROVIDER": provider.url,
                "OTEL_AGENT_SUMMARY": "false",
                "OTEL_AGENT_COST": "table",
                "OTEL_AGENT_MONITOR_EXPORT": "performance.json",
                "OTEL_AGENT_MONITOR_TOOL_SECONDS": "1e-9",
                **({"OTEL_AGENT_MONITOR": "true"} if on else {}),
            },
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(on or "bus" in script)
    file = tmp_path / "performance.json"
    assert file.exists() == on
    if on:
        written = json.loads(file.read_text())
        counted = written["llm"]["requests"], sum(one["calls"] for one in written["tools"])
        assert counted == ((0, 1) if "bus" in script else (3, 0))
        ledger = "".join(one.read_text() for one in (tmp_path / "logs" / "telemetry").iterdir())
        assert ledger.count("alert_triggered") == (1 if "bus" in script else 0)
