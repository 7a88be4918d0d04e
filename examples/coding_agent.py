# SPDX-License-Identifier: Apache-2.0
"""A small coding agent: it plans, edits a file, runs the tests, has the result reviewed, and repeats until they pass.

It opens no span and knows nothing of telemetry: `opentelemetry-instrument python examples/coding_agent.py` records it.
The planner and the executor are OpenAI's, or those of any provider that speaks its API (`OPENAI_BASE_URL`,
`OPENAI_MODEL`); the reviewer is Anthropic's and takes part where `ANTHROPIC_API_KEY` is set.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, cast

from anthropic import Anthropic
from openai import OpenAI
from workspace import TASK, TOOLS, TestRun, Workspace

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5")
REVIEW_MODEL = os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-5")
MOST_CYCLES = 6
MOST_STEPS = 4

OPENAI_TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}
    for name, (about, schema) in TOOLS.items()
]
REVIEW_TOOL: Any = {
    "name": "submit_review",
    "description": "Say whether the change is good enough.",
    "input_schema": {
        "type": "object",
        "properties": {
            "decision": {"type": "string", "enum": ["accept", "revise"]},
            "comments": {"type": "string"},
            "blocking_issues": {"type": "array", "items": {"type": "string"}},
            "confidence_delta": {"type": "number", "description": "Is it nearer to its goal than before? -1 to 1."},
        },
        "required": ["decision", "comments"],
    },
}


class Review(NamedTuple):
    """What the reviewer found."""

    decision: str
    comments: str
    blocking_issues: list[str]
    confidence_delta: float


class CodingAgent:
    """Planner, executor and reviewer over one workspace."""

    def __init__(self, workspace: Workspace, openai: OpenAI, anthropic: Anthropic | None) -> None:
        self.workspace = workspace
        self.openai = openai
        self.anthropic = anthropic
        self.messages: list[Any] = []
        self.plan_tokens = 0

    def solve(self) -> bool:
        """Work until the tests pass and the reviewer accepts; whether it came to that."""
        plan = self.plan()
        self.messages = [
            {"role": "system", "content": "You are a careful engineer. Edit the file, then run the tests."},
            {"role": "user", "content": f"{TASK}\n\nThe plan:\n{plan}\n\n{self.workspace.show()}"},
        ]
        return any(self.attempt() for _ in range(MOST_CYCLES))

    def attempt(self) -> bool:
        """Edit, test, check and review once; whether the work is done."""
        tests = self.execute()
        say("executor", tests.summary)
        style = self.check()
        say("style", style)
        review = self.review(tests, style)
        say("reviewer", f"{review.decision}: {review.comments}")
        if tests.passed and review.decision == "accept":
            say("committer", self.describe())
            return True
        self.messages.append({"role": "user", "content": f"The reviewer says: {review.comments}"})
        return False

    def plan(self) -> str:
        """Ask for a plan, and read it as it is written."""
        question = f"Plan in three short steps; then say how sure you are, as `Confidence: 0.7`.\n{TASK}"
        stream = self.openai.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"{question}\n\n{self.workspace.show()}"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        text = ""
        for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
            if chunk.usage:
                self.plan_tokens = chunk.usage.completion_tokens
        say("planner", text)
        return text

    def execute(self) -> TestRun:
        """Let the model use its tools until it has run the tests."""
        self.workspace.tests = None
        for _ in range(MOST_STEPS):
            answer = self.openai.chat.completions.create(model=MODEL, messages=self.messages, tools=OPENAI_TOOLS)
            message = answer.choices[0].message
            self.messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls or ():
                if call.type == "function":
                    result = self.workspace.use(call.function.name, json.loads(call.function.arguments or "{}"))
                    self.messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            if self.workspace.tests is not None or not message.tool_calls:
                break
        return self.workspace.tests or self.workspace.run_tests()

    def check(self) -> str:
        """What the style server says."""
        return self.workspace.check_style()

    def review(self, tests: TestRun, style: str) -> Review:
        """Have the change reviewed; without a reviewer the tests decide."""
        if self.anthropic is None:
            return Review("accept", "the tests pass", [], 1) if tests.passed else Review("revise", tests.output, [], 0)
        question = f"{TASK}\n{tests.summary}\n{tests.output}\n{style}\n{self.workspace.show()}"
        with self.anthropic.messages.stream(
            model=REVIEW_MODEL,
            max_tokens=1024,
            tools=[REVIEW_TOOL],
            tool_choice={"type": "tool", "name": "submit_review"},
            messages=[{"role": "user", "content": question}],
        ) as stream:
            message = stream.get_final_message()
        for block in message.content:
            if block.type == "tool_use":
                return _read(cast("dict[str, Any]", block.input))
        return Review("revise", "no review was given", [], 0)

    def describe(self) -> str:
        """Ask for a commit message."""
        response = self.openai.responses.create(
            model=MODEL,
            instructions="Write a commit message of one line.",
            input=f"{TASK}\n\n{self.workspace.show()}",
        )
        return response.output_text


def _read(told: dict[str, Any]) -> Review:
    """A review as a model wrote it: it may have left out what it was not made to say."""
    issues, delta = told.get("blocking_issues") or [], told.get("confidence_delta") or 0
    return Review(str(told.get("decision", "revise")), str(told.get("comments", "")), issues, delta)


def say(who: str, text: str) -> None:
    """Tell the person at the terminal."""
    print(
        f"{who:>9}  {text.strip().splitlines()[-1] if who == 'reviewer' else text.strip()}".replace("\n", f"\n{'':11}")
    )


def main(kind: type[CodingAgent] = CodingAgent) -> int:
    """Solve the task in a temporary folder."""
    anthropic = Anthropic() if os.environ.get("ANTHROPIC_API_KEY") else None
    with tempfile.TemporaryDirectory(prefix="coding-agent-") as folder, OpenAI() as openai:
        agent = kind(Workspace(Path(folder)), openai, anthropic)
        return 0 if agent.solve() else 1


if __name__ == "__main__":
    sys.exit(main())
