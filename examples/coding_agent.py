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
from typing import Any, cast

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
        },
        "required": ["decision", "comments"],
    },
}


class CodingAgent:
    """Planner, executor and reviewer over one workspace."""

    def __init__(self, workspace: Workspace, openai: OpenAI, anthropic: Anthropic | None) -> None:
        self.workspace = workspace
        self.openai = openai
        self.anthropic = anthropic
        self.messages: list[Any] = []

    def solve(self) -> bool:
        """Work until the tests pass and the reviewer accepts; whether it came to that."""
        plan = self.plan()
        self.messages = [
            {"role": "system", "content": "You are a careful engineer. Edit the file, then run the tests."},
            {"role": "user", "content": f"{TASK}\n\nThe plan:\n{plan}\n\n{self.workspace.show()}"},
        ]
        for _ in range(MOST_CYCLES):
            tests = self.execute()
            say("executor", tests.summary)
            style = self.workspace.check_style()
            say("style", style)
            decision, comments = self.review(tests, style)
            say("reviewer", f"{decision}: {comments}")
            if tests.passed and decision == "accept":
                say("committer", self.describe())
                return True
            self.messages.append({"role": "user", "content": f"The reviewer says: {comments}"})
        return False

    def plan(self) -> str:
        """Ask for a plan, and read it as it is written."""
        stream = self.openai.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"Plan in three short steps.\n{TASK}\n\n{self.workspace.show()}"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        text = ""
        for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
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

    def review(self, tests: TestRun, style: str) -> tuple[str, str]:
        """Have the change reviewed; without a reviewer the tests decide."""
        if self.anthropic is None:
            return ("accept", "the tests pass") if tests.passed else ("revise", tests.output)
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
                review = cast("dict[str, Any]", block.input)
                return str(review.get("decision", "revise")), str(review.get("comments", ""))
        return "revise", "no review was given"

    def describe(self) -> str:
        """Ask for a commit message."""
        response = self.openai.responses.create(
            model=MODEL,
            instructions="Write a commit message of one line.",
            input=f"{TASK}\n\n{self.workspace.show()}",
        )
        return response.output_text


def say(who: str, text: str) -> None:
    """Tell the person at the terminal."""
    print(
        f"{who:>9}  {text.strip().splitlines()[-1] if who == 'reviewer' else text.strip()}".replace("\n", f"\n{'':11}")
    )


def main() -> int:
    """Solve the task in a temporary folder."""
    anthropic = Anthropic() if os.environ.get("ANTHROPIC_API_KEY") else None
    with tempfile.TemporaryDirectory(prefix="coding-agent-") as folder, OpenAI() as openai:
        agent = CodingAgent(Workspace(Path(folder)), openai, anthropic)
        return 0 if agent.solve() else 1


if __name__ == "__main__":
    sys.exit(main())
