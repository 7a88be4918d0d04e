# SPDX-License-Identifier: Apache-2.0
"""An agent whose completions go to a hook: ``python hooked_agent.py <provider's url> <calls>``. Prints how they took.

It asks until a span bears what the hook set on it, where ``HOOKED_AGENT_UNTIL`` is set: the hook is loaded meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

if os.environ.get("HOOKED_AGENT_WITHOUT"):
    sys.modules["opentelemetry.util.genai"] = None  # type: ignore[assignment]  # as if it were not installed

from clients import sync_openai
from otel_agent_instrumentation.bootstrap import install
from otel_agent_instrumentation.testing.capture import capture

SECRET = "sk-proj-T3Bl" + "bkFJx9Qe7LmN4vRz81KsWp20YtHc"
ASK: dict[str, Any] = {
    "model": "gpt-5",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": f"my key is {SECRET}"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
            ],
        },
        {"role": "assistant", "tool_calls": [{"id": "c0", "function": {"name": "look", "arguments": SECRET}}]},
        {"role": "tool", "tool_call_id": "c0", "content": SECRET},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
}


def main(url: str, calls: int) -> None:
    """Ask, and say how long each question took."""
    took: list[float] = []
    deadline = time.monotonic() + 30
    with capture() as captured, sync_openai(url) as client:
        while len(took) < calls:
            begin = time.monotonic()
            client.chat.completions.create(**ASK)
            took.append(time.monotonic() - begin)
            names = captured.calls()[-1].attributes or {}
            said = any(name == "hooked" or name.endswith("_ref") for name in names)
            if os.environ.get("HOOKED_AGENT_UNTIL") and not said and time.monotonic() < deadline:
                took.clear()
        last = captured.calls()[-1]
        if os.environ.get("HOOKED_AGENT_FLUSH"):
            install.flush(30)
        data = captured.reader.get_metrics_data()
        json.dump(
            {
                "calls": len(captured.calls()),
                "slowest": max(took),
                "span": json.loads(last.to_json())["attributes"],
                "logs": [dict(log.attributes or {}) for log in captured.logs()],
                "metrics": data.to_json() if data is not None else "",
                "lines": repr(captured.lines()),
            },
            sys.stdout,
            default=str,
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
