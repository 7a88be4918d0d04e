# SPDX-License-Identifier: Apache-2.0
"""An agent that says what it does: a run, its plan, its cycles and steps, a review, and how it ended.

Run it so, with `OPENAI_API_KEY` set (or `OPENAI_BASE_URL`, for any compatible server):

    python examples/run_api.py
    otel-agent show
"""

from __future__ import annotations

import os

from openai import OpenAI

import otel_agent_instrumentation as agent

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5")
MOST_CYCLES = 3

agent.instrument()  # instead of the launcher
client = OpenAI()


def ask(question: str) -> str:
    """One model call: in whatever block it is made."""
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""


@agent.plan(selected_tools=["editor"])
def make_plan(goal: str) -> list[str]:
    """A plan: its length is told by itself."""
    ask(f"How would you {goal}?")
    return ["draft", "polish"]


@agent.state("ACT")
def act(what: str) -> None:
    """A step, within a state of mind."""
    with agent.step(what, tool="editor") as step:
        step.result = f"{len(ask(f'Please {what} it.'))} characters"


@agent.review()
def accepted(cycle: int) -> str:
    """A review: what it returns is its decision."""
    ask("Is it good?")
    return "accept" if cycle > 1 else "revise"


@agent.run("writer", task="a note", user="u-17", session="s-4", tags=["example"], max_cycles=MOST_CYCLES)
def write(goal: str) -> int:
    """The run: returns how many cycles it took."""
    steps = make_plan(goal)
    for _ in range(MOST_CYCLES):
        with agent.cycle() as cycle:
            for what in steps:
                act(what)
            if accepted(cycle.number) == "accept":
                return cycle.number
    return MOST_CYCLES


if __name__ == "__main__":
    print(f"done in {write('write a note')} cycles")
