# SPDX-License-Identifier: Apache-2.0
"""The cost of calls on span, ledger line and metric: of real clients, and of a whole agent with the library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clients import ASK, ASK_CLAUDE, Scene
from otel_agent_instrumentation import run, semconv
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.openai_bodies import MODEL, TOKENS
from otel_agent_instrumentation.testing.provider import openai_chat

LAUNCHER = Path(sys.executable).parent / "opentelemetry-instrument"
USD = (TOKENS.input - TOKENS.cached) * 1e-6 + TOKENS.cached * 1e-7 + TOKENS.output * 1e-5


@pytest.fixture
def table(tmp_path: Path) -> None:
    Path("otel-agent.toml").write_text(
        f'[prices."127.0.0.1/{MODEL}*"]\ninput = 1.0\noutput = 10.0\ncache_read = 0.1\ndate = "2026-11-01"\n'
    )


def values(captured: Any, name: str) -> dict[str, float]:
    return {str(point.attributes[semconv.REQUEST_MODEL]): point.value for point in captured.points(name)}


def test_span_line_and_metric_say_the_same(table: None) -> None:
    with Scene() as scene, capture() as captured:
        with run("coder"):
            scene.openai.chat.completions.create(**ASK)
            list(scene.openai.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
        spans = [dict(span.attributes or {}) for span in captured.calls()]
        (run_span,) = (span for span in captured.spans() if span.name == "invoke_agent coder")
        (usd,) = [p for p in captured.points(semconv.COST_USD) if p.attributes[semconv.REQUEST_MODEL] == ASK["model"]]
        lines = [line.payload["attributes"] for line in captured.lines() if line.event == semconv.EVENT_SPAN_ENDED]
    told = [
        (one[semconv.COST_MICROUSD], one[semconv.COST_SOURCE], one[semconv.COST_DATE])
        for one in (*spans, *lines)
        if semconv.PROVIDER_NAME in one
    ]
    assert told == [(round(USD * 1e6), "table", "2026-11-01")] * 4
    assert (run_span.attributes or {})[semconv.RUN_COST_MICROUSD] == round(2 * USD * 1e6)
    assert usd.value == pytest.approx(2 * USD)
    assert dict(usd.attributes) == {
        semconv.PROVIDER_NAME: "127.0.0.1",
        semconv.REQUEST_MODEL: ASK["model"],
        semconv.AGENT_NAME: "coder",
    }


def test_an_unknown_price_is_absent_and_counted(table: None) -> None:
    with Scene() as scene, capture() as captured:
        scene.anthropic.messages.create(**ASK_CLAUDE)
        scene.openai.chat.completions.create(**ASK)
        claude, gpt = (dict(span.attributes or {}) for span in captured.calls())
        unpriced, usd = values(captured, semconv.COST_UNPRICED), values(captured, semconv.COST_USD)
    assert semconv.COST_MICROUSD not in claude
    assert gpt[semconv.COST_MICROUSD] == round(USD * 1e6)
    # Both begin at 0, so that the first of either is an increase.
    assert unpriced == {ASK_CLAUDE["model"]: 1, ASK["model"]: 0}
    assert usd == {ASK_CLAUDE["model"]: 0, ASK["model"]: pytest.approx(USD)}


def test_without_prices_nothing_is_said_of_cost() -> None:
    with Scene() as scene, capture() as captured:
        scene.openai.chat.completions.create(**ASK)
        attributes = dict(captured.calls()[0].attributes or {})
        assert not [name for name in attributes if name.startswith("agent.cost")]
        (run_span,) = (span for span in captured.spans(roots=True) if span.name.startswith("invoke_agent"))
        assert semconv.RUN_COST_MICROUSD not in (run_span.attributes or {})
        assert not captured.points(semconv.COST_USD)
        assert not captured.points(semconv.COST_UNPRICED)


AGENT = """
import json, sys
import httpx2, openai
answer = json.loads(sys.argv[1])
transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer))
client = openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport))
for number in range(3):
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}])
"""


def test_an_unchanged_agent_has_the_librarys_prices_on_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls are over long before the library is loaded, and are told with their cost all the same."""
    monkeypatch.setenv("OTEL_AGENT_COST", "auto")
    (tmp_path / "agent.py").write_text(AGENT)
    answer = openai_chat(model="gpt-4o-mini").content
    subprocess.run(
        [LAUNCHER, sys.executable, tmp_path / "agent.py", answer],
        check=True,
        timeout=60,
        cwd=tmp_path,
        capture_output=True,
    )
    lines = [
        json.loads(line) for path in Path("logs/telemetry").glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    calls = [
        line["payload"]["attributes"]
        for line in lines
        if line["event"] == semconv.EVENT_SPAN_ENDED and semconv.PROVIDER_NAME in line["payload"]["attributes"]
    ]
    usd = (TOKENS.input - TOKENS.cached) * 0.15e-6 + TOKENS.cached * 0.075e-6 + TOKENS.output * 0.6e-6
    assert [call[semconv.COST_MICROUSD] for call in calls] == [round(usd * 1e6)] * 3
    assert all(call[semconv.COST_SOURCE].startswith("genai-prices") for call in calls)
