# SPDX-License-Identifier: Apache-2.0
"""The user's request leaves as the client made it, and what comes back is what the client makes of it (E5, A3)."""

from __future__ import annotations

import subprocess
import sys

import pytest

import harm
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider

pytestmark = pytest.mark.matrix


@pytest.fixture
def lab():
    with harm.Lab() as lab:
        yield lab


@pytest.mark.parametrize("client", harm.CLIENTS)
def test_every_use_of_a_client_is_the_same_with_and_without_us(lab, client):
    scenarios = harm.SCENARIOS[client]
    before = {str(scenario): lab.run(scenario) for scenario in scenarios}
    with capture():
        during = {str(scenario): lab.run(scenario) for scenario in scenarios}
    after = {str(scenario): lab.run(scenario) for scenario in scenarios}
    assert [key for key, outcome in before.items() if not outcome.wire] == []
    assert during == before
    assert after == before


GLOBAL = """
import json, os, sys
import otel_agent_instrumentation as ours
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
URL, HOW = sys.argv[1:]
trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
if HOW == "ours":
    ours.instrument()
import anthropic, openai
claude = anthropic.Anthropic(base_url=URL, api_key="k")
asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
with trace.get_tracer("agent").start_as_current_span("agent"):
    claude.messages.create(**asked)
    list(claude.messages.create(stream=True, **asked))
    with claude.messages.stream(**asked) as stream:
        stream.get_final_message()
    claude.beta.messages.create(**asked)
    made = {"model": "m", "messages": asked["messages"]}
    openai.OpenAI(base_url=URL + "/v1", api_key="k").chat.completions.create(**made)
ours.uninstrument()
claude.messages.create(**asked)
"""


@pytest.mark.parametrize("switch", ["", "false"], ids=["native on", "native off"])
def test_no_trace_header_leaves_with_the_request(tmp_path, switch):
    """The client of anthropic >= 2 sends the trace of its own span; where ours is made, neither is sent."""

    def received(how: str) -> list[tuple[str | None, str]]:
        with Provider() as provider:
            environment = {"PATH": "/usr/bin:/bin", "ANTHROPIC_OPEN_TELEMETRY": switch, "OTEL_AGENT_SUMMARY": "false"}
            command = [sys.executable, "-c", GLOBAL, provider.url, how]
            subprocess.run(command, check=True, cwd=tmp_path, env=environment, timeout=60)
            port = provider.url.rpartition(":")[2]
            sent = [(request.header("traceparent"), harm.wire(request)) for request in provider.requests]
            return [(trace, str(told).replace(port, "PORT")) for trace, told in sent]

    plain, during = received("plain"), received("ours")
    assert len(during) == len(plain)
    # After `uninstrument` the client's own span is back, and its header.
    *calls, last = during
    assert [trace for trace, _ in calls] == [None] * len(calls)
    assert (last[0] is None) is (plain[-1][0] is None)
    if plain[0][0] is None:
        assert during == plain
