# SPDX-License-Identifier: Apache-2.0
"""`otel-agent mirror` (E6): from the files alone it serves the numbers that the agent's own metrics have."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from clients import ASK, ASK_CLAUDE, Scene
from otel_agent_instrumentation import benchmark, cycle, emit_event, flush, run, semconv, state, step, tool
from otel_agent_instrumentation.cli._mirror_files import Tail
from otel_agent_instrumentation.cli._mirror_numbers import Numbers
from otel_agent_instrumentation.metrics.catalogue import CATALOGUE
from otel_agent_instrumentation.metrics.views import views
from otel_agent_instrumentation.signals.metrics import Metrics
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import openai_error

if TYPE_CHECKING:
    from collections.abc import Generator

FOLDER = Path("logs/telemetry")
COMMAND = str(Path(sys.executable).parent / "otel-agent")
# All but what the files do not tell: of the process, its pipeline and redaction, and what an agent sets itself.
_ELSEWHERE = {semconv.COST_UNPRICED, semconv.CONTENT_CAPTURE, semconv.REDACTIONS}
TOLD = {row.name for row in CATALOGUE.values() if row.group not in {"pipeline", "process", "state"}} - _ELSEWHERE


@tool
def fetch(address: str) -> str:
    if not address:
        raise ValueError
    return address


def work() -> None:
    with Scene() as scene, run("coder", task="nightly"):
        with cycle(), state("ACT"), step():
            scene.openai.chat.completions.create(**ASK)
            list(scene.openai.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
        with cycle():
            scene.anthropic.messages.create(**ASK_CLAUDE)
            fetch("x")
            with contextlib.suppress(ValueError):
                fetch("")
            subprocess.run([sys.executable, "-c", ""], check=True)
        benchmark(tokens_per_s=88.5, latency_ms=120)
        emit_event("task_started", {"goal": "g"})
        scene.provider.enqueue(openai_error(400))
        with contextlib.suppress(openai.BadRequestError):
            scene.openai.chat.completions.create(**ASK)


def outline(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Counts and values by name and labels; durations to a tenth of a second: events tell them in whole ms."""
    data: Any = reader.get_metrics_data()
    found: dict[str, Any] = {}
    for metric in (m for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics):
        for point in metric.data.data_points:
            told = (point.count, round(point.sum, 1)) if hasattr(point, "count") else point.value
            if metric.name in TOLD and told not in (0, (0, 0)):
                found[f"{metric.name} {sorted(point.attributes.items())}"] = told
    return found


def mirrored() -> dict[str, Any]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], views=views(), shutdown_on_exit=False)
    numbers = Numbers(Metrics(provider.get_meter(semconv.SCOPE), semconv.flavours("1.41")))
    for line in Tail(FOLDER, history=True).lines():
        numbers.take(line)
    found = outline(reader)
    provider.shutdown()
    return found


def test_the_files_give_the_numbers_that_the_agent_had() -> None:
    Path("otel-agent.toml").write_text('[prices."*"]\ninput = 3\noutput = 7\n')
    with capture() as captured:
        work()
        flush()
        told = outline(captured.reader)
        found = mirrored()
    assert {key for key in found if key not in told} == set()
    # A cost comes in whole millionths from the files.
    assert {key: value for key, value in told.items() if found.get(key) != pytest.approx(value, rel=0.02)} == {}
    assert len(told) > 30


@contextlib.contextmanager
def mirror(*arguments: str, token: str = "right") -> Generator[int]:
    """The command, serving; the port."""
    environment = {**os.environ, "OTEL_AGENT_METRICS_TOKEN": token, "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1"}
    with subprocess.Popen(
        [COMMAND, "mirror", *arguments, "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        try:
            yield int(first.rpartition(" ")[2])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def counted(port: int, name: str) -> float:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": "Bearer right"})
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        lines = response.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def until(port: int, name: str, value: float) -> None:
    deadline = time.monotonic() + 30
    while (found := counted(port, name)) != value:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_it_goes_on_with_what_is_appended_across_rotation_and_half_lines() -> None:
    FOLDER.mkdir(parents=True)
    line = json.dumps(
        {
            "schema_version": "1.0",
            "timestamp": "2026-11-20T00:00:00.000Z",
            "source": "planner",
            "run_id": "r",
            "cycle": 0,
            "event": "plan.generated",
            "payload": {"step_count": 4, "redacted_fields": []},
            "tags": ["plain"],
        }
    ).encode()
    file = FOLDER / "r.jsonl"
    file.write_bytes((line + b"\n") * 5)
    with mirror() as port:
        with file.open("ab") as opened:
            opened.write(line + b"\nnonsense\n" + line[:30])
            opened.flush()
            until(port, "agent_events_total", 1)  # what stood there already is history
            opened.write(line[30:] + b"\n")
        until(port, "agent_events_total", 2)
        file.rename(FOLDER / "r.1.jsonl")
        file.write_bytes(line + b"\n")
        until(port, "agent_events_total", 3)
        assert counted(port, "agent_event_value") == 4
    with mirror("--history") as port:
        until(port, "agent_events_total", 8)


def test_without_a_token_it_does_not_start() -> None:
    ended = subprocess.run(
        [COMMAND, "mirror"], check=False, capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    assert ended.returncode == 1
    assert "OTEL_AGENT_METRICS_TOKEN" in ended.stderr
