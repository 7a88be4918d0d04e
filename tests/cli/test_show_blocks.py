# SPDX-License-Identifier: Apache-2.0
"""The run API's own blocks in the tree that `otel-agent show` prints."""

from __future__ import annotations

import otel_agent_instrumentation as agent
from otel_agent_instrumentation.cli import main
from otel_agent_instrumentation.testing.capture import capture


def test_a_cycle_that_the_agent_marks_is_one_line_with_its_steps_below(capsys):
    with capture(), agent.run("coder"):
        for _ in range(2):
            with agent.cycle(), agent.step("edit", tool="edit_file"):
                pass
    assert main(["show"]) == 0
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    told = [line.split("  ")[0] if not line.startswith(("├", "│", "└", " ")) else line for line in shown]
    names = [line.strip("├│└─ ").split("  ")[0] for line in told]
    assert names.count("agent.cycle") == 0
    assert [name for name in names if name.startswith(("cycle", "agent.", "plan."))] == [
        "cycle 1",
        "agent.step",
        "plan.step_started",
        "plan.step_completed",
        "cycle 2",
        "agent.step",
        "plan.step_started",
        "plan.step_completed",
    ]
