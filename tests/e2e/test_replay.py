# SPDX-License-Identifier: Apache-2.0
"""The demo's run, replayed from its ledger alone: the receiver gets the spans that it got from the run itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_agent_instrumentation.testing.otlp_sink import OtlpSink

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
COMMAND = Path(sys.executable).parent / "otel-agent"
OTHERS = ("OPENAI_", "ANTHROPIC_", "OTEL_", "PYTHON")

pytestmark = pytest.mark.timeout(240)


def test_the_demo_replayed_is_the_demo(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS)}
    with OtlpSink() as live, OtlpSink() as again:
        for command, variables in (
            ([sys.executable, str(DEMO)], {"OTEL_EXPORTER_OTLP_ENDPOINT": live.url}),
            ([str(COMMAND), "replay", "--to", again.url], {}),
        ):
            done = subprocess.run(
                command,
                check=False,
                cwd=tmp_path,
                env={**environment, "PYTHONIOENCODING": "utf-8", **variables},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
        before, after = ({(one.trace_id, one.span_id): one for one in sink.spans()} for sink in (live, again))
        assert len(live.spans()) == len(again.spans()) == len(before) > 40
        assert len({one.resource["service.instance.id"] for one in before.values()}) > 1  # its MCP servers
    assert set(after) == set(before)
    for ids, one in before.items():
        assert after[ids] == one
