# SPDX-License-Identifier: Apache-2.0
"""The same truth from a process of its own, read where a collector would: launched, and instrumented in code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.testing import traffic
from otel_agent_instrumentation.testing.otlp_sink import OtlpSink
from otel_agent_instrumentation.testing.truth import truth
from recorded import Sums, owns_tokens, problems_of_call

pytestmark = [pytest.mark.matrix, pytest.mark.shared, pytest.mark.timeout(240)]

AGENT = Path(__file__).parent / "drive_all.py"
LAUNCHER = str(Path(sys.executable).parent / "opentelemetry-instrument")


def run(sink: OtlpSink, folder: Path, *command: str) -> list[tuple[str, str, str, str | None]]:
    """Run the agent in ``folder``; how each exchange went, in the order in which they were sent."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))}
    ended = subprocess.run(
        command,
        env={**inherited, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "internal fault" not in ended.stderr
    return json.loads((folder / "outcomes.json").read_text())


@pytest.mark.parametrize("way", ["launched", "in-code"])
def test_all_traffic_is_told_in_one_trace_as_the_bodies_say(way: str, tmp_path: Path) -> None:
    agent = (sys.executable, str(AGENT), "outcomes.json")
    with OtlpSink() as sink:
        outcomes = run(sink, tmp_path, *((LAUNCHER, *agent) if way == "launched" else (*agent, "instrument")))
    exchanges = {one.id: one for name in traffic.PROVIDERS for one in traffic.load(name)}
    accepted = [(exchanges[key], kind, error) for _, key, kind, error in outcomes if exchanges[key].kind]
    accepted = [(exchange, error) for exchange, kind, error in accepted if kind != "refused"]
    operations = {truth(exchange).operation for exchange, _ in accepted}
    spans = sorted(sink.spans(), key=lambda span: span.start_ns)
    calls = [span for span in spans if span.attributes.get(semconv.OPERATION_NAME) in operations]
    assert len(calls) == len(accepted)
    assert [span.name for span in spans if owns_tokens(span.attributes) and span not in calls] == []
    sums, problems = Sums(), list[str]()
    for (exchange, error), span in zip(accepted, calls, strict=True):
        sums.add(truth(exchange))
        problems += [f"{exchange.id} {exchange.kind}: {one}" for one in problems_of_call(exchange, error, [span])]
    assert problems == []
    measured = Sums()
    for point in sink.metrics()["gen_ai.client.token.usage"]:
        measured.put(str(point.attributes[semconv.TOKEN_TYPE]), int(point.sum or 0), point.count or 0)
    assert measured.tokens == {kind: sums.tokens[kind] for kind in ("input", "output")}
    assert measured.calls == {kind: sums.calls[kind] for kind in ("input", "output")}
    (root,) = [span for span in spans if span.parent_id is None]
    assert (root.attributes[semconv.OPERATION_NAME], {span.trace_id for span in spans}) == (
        "invoke_agent",
        {root.trace_id},
    )
