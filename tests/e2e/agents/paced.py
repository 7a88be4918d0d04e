# SPDX-License-Identifier: Apache-2.0
"""CALLS model calls in runs of ten, one every PACE seconds; prints when each began and how long it took, as JSON."""

from __future__ import annotations

import json
import os
import time

import openai

import otel_agent_instrumentation as agent

gpt = openai.OpenAI(base_url=f"{os.environ['PROVIDER']}/v1", api_key="none", max_retries=0)
calls, pace = int(os.environ["CALLS"]), float(os.environ["PACE"])
times: list[tuple[float, float]] = []
print("begun", flush=True)
done = 0
while done < calls:
    with agent.run("paced"):
        for _ in range(min(10, calls - done)):
            begun, clock = time.time(), time.perf_counter()
            gpt.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hi"}])
            times.append((begun, time.perf_counter() - clock))
            done += 1
            time.sleep(max(0.0, pace - times[-1][1]))
agent.flush(10)
print(json.dumps(times))
