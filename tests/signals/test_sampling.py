# SPDX-License-Identifier: Apache-2.0
"""Sampling decides about spans alone: ledger and metrics are the same without a single one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.envelope.line import decode
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink
from otel_agent_instrumentation.testing.provider import Provider, Tool, openai_chat, openai_chat_stream, openai_error
from runs_seen import AGENTS

if TYPE_CHECKING:
    from clients import Scene
    from otel_agent_instrumentation.envelope.line import Line
    from otel_agent_instrumentation.testing.capture import Captured

AGENT = Path(__file__).parent / "sampled_agent.py"
LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"
METRICS = ("gen_ai.client.operation.duration", "gen_ai.client.token.usage", semconv.INVOKE_AGENT_DURATION)
_CHANGES = {
    "duration_seconds",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "duration_ms",
    "trace_id",
    "span_id",
    "parent_span_id",
}
_CHANGING = {semconv.RUN_ID, semconv.SERVER_PORT, semconv.RESPONSE_TIME_TO_FIRST_CHUNK}


def outline(line: Line) -> dict[str, Any]:
    """A line without what differs from run to run: times and ids, of which only the presence counts."""
    payload: dict[str, Any] = {key: bool(value) if key in _CHANGES else value for key, value in line.payload.items()}
    attributes = payload.get("attributes", {})
    payload["attributes"] = {key: value for key, value in attributes.items() if key not in _CHANGING}
    ids = (bool(line.trace_id), bool(line.span_id))
    return {
        "event": line.event,
        "cycle": line.cycle,
        "payload": payload,
        "tags": {key: value for key, value in line.tags.items() if key != "task_id"},
        "ids": ids,
        "seq": line.seq,
    }


def tree(lines: list[Line]) -> list[str]:
    """The names of the spans' parents, so that ids are compared by what they mean."""
    spans = [line.payload for line in lines if line.event == semconv.EVENT_SPAN_ENDED]
    names = {span["span_id"]: span["name"] for span in spans}
    assert len({span["trace_id"] for span in spans}) == 1
    return [names.get(span["parent_span_id"], "") for span in spans]


def sums(captured: Captured) -> list[tuple[Any, ...]]:
    """The points of the metrics; of a duration only how often."""
    return sorted(
        (name, repr(sorted(point.attributes.items())), point.count, point.sum if name.endswith("usage") else None)
        for name in METRICS
        for point in captured.points(name)
    )


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_without_samples_ledger_and_metrics_are_the_same(
    agent: Any, explicit: bool, scene: Scene, tmp_path: Path
) -> None:
    seen: list[Any] = []
    for sampled in (True, False):
        with capture(sampled=sampled) as captured:
            if explicit:
                with run("coder", user="u", metadata={"a": 1}):
                    agent(scene)
            else:
                agent(scene)
            spans = captured.spans(roots=True)
            assert bool(spans) == sampled
            folder = tmp_path / "logs/telemetry"
            lines = captured.lines(folder)
            seen.append(([outline(line) for line in lines], tree(lines), sums(captured)))
        for file in folder.iterdir():
            file.unlink()
    assert seen[0] == seen[1]


def test_the_sampler_of_the_environment_changes_neither_ledger_nor_metrics(tmp_path: Path) -> None:
    seen: list[Any] = []
    for sampler in ("always_on", "always_off"):
        folder = tmp_path / sampler
        folder.mkdir()
        with OtlpSink() as sink, Provider() as provider:
            provider.enqueue(openai_chat(tools=[Tool()]), openai_chat_stream(), openai_error(400))
            launch(provider, sink, folder, sampler)
            assert bool(sink.spans()) == (sampler == "always_on")
            points = {
                (name, tuple(sorted(dict(point.attributes, **{semconv.SERVER_PORT: 0}).items())), point.count)
                for name in METRICS
                for point in sink.metrics()[name]
            }
        (file,) = (folder / "logs/telemetry").glob("*.jsonl")
        lines = [decode(data) for data in file.read_bytes().splitlines()]
        told = [outline(line) for line in lines if line.event == semconv.EVENT_SPAN_ENDED]
        seen.append((told, tree(lines), points))
    assert len(seen[0][0]) == 5  # three model calls, the tool between them, the run
    assert seen[0] == seen[1]


def launch(provider: Provider, sink: OtlpSink, folder: Path, sampler: str) -> None:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))}
    ended = subprocess.run(
        [LAUNCHER, sys.executable, str(AGENT), f"{provider.url}/v1"],
        env={
            **inherited,
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER": sampler,
        },
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "internal fault" not in ended.stderr
