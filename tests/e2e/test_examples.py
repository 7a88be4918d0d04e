# SPDX-License-Identifier: Apache-2.0
"""Each example runs as its own docstring says, and leaves the tree that it is an example of."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.envelope import line as envelope
from otel_agent_instrumentation.testing import lines
from otel_agent_instrumentation.testing.provider import Provider, Tool, openai_chat

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = Path(sysconfig.get_path("scripts"))
FOLDER = Path("logs/telemetry")


def launch(name: str, *replies: Any) -> tuple[str, list[envelope.Line]]:
    """Run the first command of the example's docstring; what it printed, and its lines."""
    found = re.search(r"^ {4}(.*examples/\w+\.py)$", (EXAMPLES / f"{name}.py").read_text(), re.MULTILINE)
    assert found is not None
    command = found[1].replace("examples/", f"{EXAMPLES}/").split()
    with Provider() as provider:
        provider.enqueue(*replies)
        provider.reply = openai_chat("Fine.")
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
            env={
                **os.environ,
                "PATH": os.pathsep.join([str(SCRIPTS), str(Path(sys.executable).parent), os.environ["PATH"]]),
                "OPENAI_BASE_URL": f"{provider.url}/v1",
                "OPENAI_API_KEY": "k",
                "OTEL_AGENT_SUMMARY": "false",
            },
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert lines.check_folder(FOLDER) == []
    return done.stdout, [
        envelope.decode(one) for file in FOLDER.glob("*.jsonl") for one in file.read_bytes().splitlines()
    ]


def tree(told: list[envelope.Line]) -> Counter[tuple[str, str | None]]:
    """(name, parent's name) of each span."""
    spans = {line.payload["span_id"]: line.payload for line in told if line.event == semconv.EVENT_SPAN_ENDED}
    return Counter(
        (span["name"], spans[span["parent_span_id"]]["name"] if span["parent_span_id"] else None)
        for span in spans.values()
    )


@pytest.mark.timeout(120)
def test_no_code_change():
    out, told = launch("no_code_change", openai_chat(tools=[Tool("get_weather", '{"city": "Paris"}', "call_1")]))
    assert out == "Fine.\n"
    found = tree(told)
    assert found["invoke_agent no_code_change", None] == 1
    assert found["chat gpt-5", "invoke_agent no_code_change"] == 2
    assert len({line.run_id for line in told}) == 1
    assert "otel" not in (EXAMPLES / "no_code_change.py").read_text().partition('"""')[2].partition('"""')[2].lower()


@pytest.mark.timeout(120)
def test_run_api():
    out, told = launch("run_api")
    assert out == "done in 2 cycles\n"
    assert tree(told) == {
        ("invoke_agent writer", None): 1,
        ("plan writer", "invoke_agent writer"): 1,
        ("chat gpt-5", "plan writer"): 1,
        ("agent.cycle", "invoke_agent writer"): 2,
        ("agent.step", "agent.cycle"): 4,
        ("chat gpt-5", "agent.step"): 4,
        ("agent.review", "agent.cycle"): 2,
        ("chat gpt-5", "agent.review"): 2,
    }
    events = Counter(line.event for line in told)
    assert {name: events[name] for name in ("plan.generated", "plan.step_completed", "agent.state.exited")} == {
        "plan.generated": 1,
        "plan.step_completed": 4,
        "agent.state.exited": 4,
    }
    decided = [line.payload["decision"] for line in told if line.event == "review.decision"]
    assert decided == ["revise", "accept"]
    (root,) = [line.payload for line in told if line.payload.get("name") == "invoke_agent writer"]
    assert root["attributes"][semconv.RUN_OUTCOME] == "ok"


@pytest.mark.timeout(120)
def test_with_asyncio():
    out, told = launch("with_asyncio")
    assert out == "3 answers\n"
    assert tree(told) == {
        ("invoke_agent researcher", None): 3,
        ("agent.cycle", "invoke_agent researcher"): 3,
        ("agent.step", "agent.cycle"): 9,
        ("chat gpt-5", "agent.step"): 9,
    }
    by_run = Counter(line.run_id for line in told if line.event == semconv.EVENT_SPAN_ENDED)
    assert list(by_run.values()) == [8, 8, 8]
    for run_id in by_run:
        assert len({line.tags["task"] for line in told if line.run_id == run_id and "task" in line.tags}) == 1
