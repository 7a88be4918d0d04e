# SPDX-License-Identifier: Apache-2.0
"""The tiny project that the demo agent works on, and the tools that it has there: edit a file, run the tests."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters, stdio_client

TASK = 'Make `durations.seconds("1h30m")` return 5400: see the tests for what else it must do.'

FILES = {
    "durations.py": '''\
def seconds(text: str) -> int:
    """The seconds in a duration such as `90s`, `15m` or `1h30m`."""
    raise NotImplementedError
''',
    "test_durations.py": """\
import unittest

from durations import seconds


class Durations(unittest.TestCase):
    def test_one_unit(self):
        self.assertEqual([seconds("90s"), seconds("15m"), seconds("2h")], [90, 900, 7200])

    def test_several_units(self):
        self.assertEqual(seconds("1h30m"), 5400)

    def test_refuses_anything_else(self):
        for text in ("", "soon", "5 apples", "10m!"):
            with self.assertRaises(ValueError):
                seconds(text)
""",
}

# An MCP server, in a process of its own.
STYLE_SERVER = shlex.split(os.environ.get("STYLE_SERVER", "")) or [
    sys.executable,
    str(Path(__file__).with_name("style_server.py")),
]

# As both providers describe a tool: a name, a sentence, a JSON schema.
TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "edit_file": (
        "Replace a file of the project.",
        {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    ),
    "run_tests": ("Run the project's tests.", {"type": "object", "properties": {}}),
}


@dataclass(frozen=True, slots=True)
class TestRun:
    """What the tests said."""

    passed: bool
    summary: str
    output: str


class Workspace:
    """The project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tests: TestRun | None = None
        self.formatter: str | None = "tidy-python"
        for name, content in FILES.items():
            (folder / name).write_text(content)

    def show(self) -> str:
        """Every file, with its name above it."""
        return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in sorted(self.folder.glob("*.py")))

    def use(self, tool: str, arguments: dict[str, Any]) -> str:
        """Run a tool that the model asked for; what it returns goes back to the model."""
        if tool == "edit_file":
            return self.edit_file(str(arguments.get("path")), str(arguments.get("content")))
        if tool == "run_tests":
            self.tests = self.run_tests()
            return f"{self.tests.summary}\n{self.tests.output}"
        return f"error: there is no tool {tool}"

    def edit_file(self, path: str, content: str) -> str:
        """Replace a file of the project: not its tests, and nothing outside."""
        if path not in FILES or path.startswith("test_"):
            return f"error: {path} is not yours to edit"
        (self.folder / path).write_text(content)
        return f"{path}: {len(content.splitlines())} lines written{self.tidy()}"

    def tidy(self) -> str:
        """Format the project with its own formatter, where that is installed; what to say of it."""
        if self.formatter is None:
            return ""
        try:
            subprocess.run([self.formatter, "."], check=False, cwd=self.folder, capture_output=True, timeout=60)
        except FileNotFoundError:  # said once
            missing, self.formatter = self.formatter, None
            return f", not formatted: there is no {missing}"
        return ", and formatted"

    def check_style(self) -> str:
        """What the style server says of the file, by MCP."""
        return asyncio.run(_ask("check_style", {"content": (self.folder / "durations.py").read_text()}))

    def run_tests(self) -> TestRun:
        """Run the tests in a process of their own."""
        command = [sys.executable, "-m", "unittest", "-q"]
        done = subprocess.run(command, check=False, cwd=self.folder, capture_output=True, text=True, timeout=60)
        total = int(next(iter(re.findall(r"Ran (\d+) test", done.stderr)), 0))
        failed = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", done.stderr)))
        return TestRun(done.returncode == 0, f"{total - failed} of {total} tests pass", done.stderr[-4000:])


async def _ask(tool: str, arguments: dict[str, Any]) -> str:
    # Its own program: it may have the agent's environment, of which MCP hands on six variables otherwise.
    server = StdioServerParameters(command=STYLE_SERVER[0], args=STYLE_SERVER[1:], env=dict(os.environ))
    async with stdio_client(server) as (receive, send), ClientSession(receive, send) as session:
        await session.initialize()
        result = await session.call_tool(tool, arguments)
    return " ".join(getattr(part, "text", "") for part in result.content)
