# SPDX-License-Identifier: Apache-2.0
"""Runs of which the gateway is to keep some: prints, as JSON, the trace ids of each kind."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import defaultdict

import openai
from opentelemetry import trace

import otel_agent_instrumentation as agent

gpt = openai.OpenAI(base_url=f"{os.environ['PROVIDER']}/v1", api_key="none", max_retries=0)
made: defaultdict[str, list[str]] = defaultdict(list)


def begin(kind: str) -> None:
    made[kind].append(format(trace.get_current_span().get_span_context().trace_id, "032x"))


def ask(model: str) -> None:
    gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])


for number in range(20):
    with agent.run("sampled", task="well"), agent.step("one"):
        begin("well")
        ask("gpt-5")
    if number % 5 == 0:
        with agent.run("sampled", task="error"):
            begin("error")  # early, and caught: the run itself ends well
            with contextlib.suppress(openai.APIError):
                ask("down")
            ask("gpt-5")
        with agent.run("sampled", task="outcome") as run:
            begin("outcome")
            ask("gpt-5")
            run.outcome = "budget"
        with agent.run("sampled", task="expensive"):
            begin("expensive")
            ask("dear")
            ask("gpt-5")
        with agent.run("sampled", task="expensive as a whole"):
            begin("expensive as a whole")
            for _ in range(3):
                ask("not cheap")
with agent.run("sampled", task="slow"):
    begin("slow")
    ask("gpt-5")
    time.sleep(4)
    ask("gpt-5")
agent.flush()
print(json.dumps(made))
