# SPDX-License-Identifier: Apache-2.0
"""An agent that does everything that a metric tells of, again and again, until the file STOP is there.

`well`: nothing goes wrong. `trouble`: what the alerts are for. `held`: a run that goes on until the process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anthropic
import mcp
import openai
from opentelemetry import _logs

import otel_agent_instrumentation as agent
from otel_agent_instrumentation import metrics

STOP = Path(os.environ["STOP"])
SERVER = Path(__file__).parents[2] / "tools" / "mcp_server.py"
provider = os.environ["PROVIDER"]
gpt = openai.OpenAI(base_url=f"{provider}/v1", api_key="none", max_retries=0)
claude = anthropic.Anthropic(base_url=provider, api_key="none", max_retries=0)


def ask(model: str, question: str, tools: Any = openai.omit) -> Any:
    return gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], tools=tools)


def ask_streamed(model: str) -> None:
    stream = gpt.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "slowly"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for _ in stream:
        pass


@agent.tool
def look_up(word: str) -> str:
    return word


@agent.tool
def breaks(word: str) -> str:
    raise TimeoutError(word)


def once(number: int) -> None:
    """A run in which all goes well."""
    with agent.run("coder", task="work", max_cycles=5):
        with agent.plan(selected_tools=["look_up"]):
            ask("gpt-5", f"plan {number}")
        for cycle in range(2):
            with agent.cycle(), agent.state("ACT"), agent.step("do it"):
                ask_streamed("gpt-5")
                look_up(f"{number} {cycle}")
                subprocess.run([sys.executable, "-S", "-c", "pass"], check=True)
            claude.messages.create(
                model="claude-sonnet-5",
                max_tokens=9,
                messages=[{"role": "user", "content": f"write to a{number}@example.com"}],
            )
        with agent.review() as review:
            review.feedback(confidence_delta=0.25)
            review.decide("accept")
    metrics.update_state_gauges({"efficiency": 0.9, "entropy": 0.1, "gaps": 2, "misfits": 1})
    metrics.PATCHES_APPLIED.inc()


class Torn(Mapping[str, str]):
    """What nobody can read."""

    def __getitem__(self, key: str) -> str:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


def fail(number: int) -> None:
    """A run in which everything goes wrong that can."""
    with contextlib.suppress(ZeroDivisionError), agent.run("coder", task="work"):
        for _ in range(4):
            with agent.cycle():
                ask("gpt-5", "the same again")  # a loop, and a storm of cycles
            with contextlib.suppress(TimeoutError):
                breaks("x")
            with contextlib.suppress(openai.APIError):
                ask("down", f"{number}")
        for _ in range(50):
            with agent.step("in vain"):
                pass
        ask("dear", f"{number}")
        ask("new", f"{number}")
        ask("many-tools", f"{number}")
        subprocess.run([sys.executable, "-S", "-c", "raise SystemExit(3)"], check=False)
        _logs.get_logger("busy").emit(_logs.LogRecord(body={"torn": Torn()}))
        _ = number / 0
    metrics.update_state_gauges({"efficiency": 0.3})


def hold() -> None:
    with agent.run("coder", task="hold"):
        ask("gpt-5", "hold")
        time.sleep(600)


async def main(way: str) -> None:
    server = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(SERVER), "stdio"]
    # MCP hands six variables on; a server that is to report says which more.
    started = mcp.StdioServerParameters(command=server[0], args=server[1:], env=dict(os.environ))
    async with mcp.stdio_client(started) as (reads, writes), mcp.ClientSession(reads, writes) as session:
        await session.initialize()
        number = 0
        while not STOP.exists():  # noqa: ASYNC240 - nobody waits
            number += 1
            (once if way == "well" else fail)(number)
            with agent.run("caller"):
                await session.call_tool(*(("add", {"a": 1, "b": number}) if way == "well" else ("fail", {})))
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    if sys.argv[1] == "held":
        hold()
    asyncio.run(main(sys.argv[1]))
