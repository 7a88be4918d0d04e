# SPDX-License-Identifier: Apache-2.0
"""An agent that knows nothing of telemetry: it asks, does what the model wants, and answers until it wants no more.

Run it so, with `OPENAI_API_KEY` set (or `OPENAI_BASE_URL`, for any compatible server):

    opentelemetry-instrument python examples/no_code_change.py
    otel-agent show
"""

from __future__ import annotations

import json
import os
from typing import Any

from openai import OpenAI

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5")
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def get_weather(city: str = "Paris") -> str:
    """The weather, which is always fine."""
    return f"21 degrees and sunny in {city}"


def main() -> None:
    """One question, as many turns as it takes."""
    client = OpenAI()
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    while True:
        message = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
        if not message.tool_calls:
            break
        messages.append(message)
        for call in message.tool_calls:
            if call.type == "function":
                result = get_weather(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    print(message.content)


if __name__ == "__main__":
    main()
