# SPDX-License-Identifier: Apache-2.0
"""The coding agent, and what its work means: its plan, its cycles and steps, its reviews, and the profile it chose.

What `coding_agent.py` does is recorded as it stands; what it means only its author can say, and does so here, around
the agent's own methods. This is the agent of the demo:

    opentelemetry-instrument python examples/planned_agent.py
    otel-agent show
"""

from __future__ import annotations

import os
import platform
import re
import sys
import time

from coding_agent import MOST_CYCLES, CodingAgent, Review, main
from workspace import TASK, TOOLS, TestRun

import otel_agent_instrumentation as agent

BRISK = 30  # tokens a second


class PlannedAgent(CodingAgent):
    """The same agent, with its work told."""

    @agent.run("coding_agent", task=TASK, max_cycles=MOST_CYCLES)
    def solve(self) -> bool:
        """The run."""
        return super().solve()

    @agent.cycle()
    def attempt(self) -> bool:
        """A cycle of it."""
        return super().attempt()

    def plan(self) -> str:
        """The plan; and, by the time it took to write, how fast the model is."""
        with agent.plan(selected_tools=[*TOOLS, "check_style"]) as plan:
            began = time.perf_counter()
            text = super().plan()
            seconds = time.perf_counter() - began
            plan.step_count = len(re.findall(r"^\d+\.", text, re.MULTILINE))
            if sure := re.search(r"Confidence: (\d\.?\d*)", text):
                plan.reasoning_score = float(sure[1])
        speed = self.plan_tokens / seconds
        agent.benchmark(tokens_per_s=speed, latency_ms=seconds * 1000)
        agent.profile("brisk" if speed > BRISK else "patient", f"{platform.machine()}, {os.cpu_count()} cores")
        return text

    def execute(self) -> TestRun:
        """A step: edit and test."""
        with agent.step("edit and test", tool="edit_file") as step:
            tests = super().execute()
            step.result = tests.summary
        return tests

    def check(self) -> str:
        """A step: look at the style."""
        with agent.step("look at the style", tool="check_style") as step:
            step.result = super().check()
        return step.result

    @agent.review()
    def review(self, tests: TestRun, style: str) -> Review:
        """A review: what it returns are its findings and its verdict."""
        return super().review(tests, style)


if __name__ == "__main__":
    sys.exit(main(PlannedAgent))
