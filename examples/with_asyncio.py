# SPDX-License-Identifier: Apache-2.0
"""Several runs at once on one event loop: each call finds its own run, also from threads that a run uses.

Run it so, with `OPENAI_API_KEY` set (or `OPENAI_BASE_URL`, for any compatible server):

    python examples/with_asyncio.py
    otel-agent show
"""

from __future__ import annotations

import asyncio
import os

from openai import AsyncOpenAI, OpenAI

import otel_agent_instrumentation as agent

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5")

agent.instrument()


@agent.step("look it up", tool="search")
async def look_up(client: AsyncOpenAI, topic: str) -> str:
    """A step that awaits."""
    answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": topic}])
    return answer.choices[0].message.content or ""


@agent.step("check it", tool="checker")
def check(text: str) -> str:
    """A step in a thread: it is in the run of the task that started it."""
    with OpenAI() as client:
        question = f"Is this right? {text}"
        answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""


async def research(client: AsyncOpenAI, topic: str) -> str:
    """One run."""
    async with agent.run("researcher", task=topic, metadata={"topic": topic}), agent.cycle():
        found = await asyncio.gather(look_up(client, topic), look_up(client, f"news of {topic}"))
        return await asyncio.to_thread(check, " ".join(found))


async def main() -> None:
    """Three runs at once."""
    async with AsyncOpenAI() as client:
        topics = ("bees", "whales", "moss")
        answers = await asyncio.gather(*(research(client, topic) for topic in topics))
    print(f"{len(answers)} answers")


if __name__ == "__main__":
    asyncio.run(main())
