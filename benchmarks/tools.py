# SPDX-License-Identifier: Apache-2.0
"""The cost of a call of a `@tool`, and of telling an unchanged agent's tools, as ratios to the floor of a model call.

`@tool`: the decorated function against the plain one. Inferred: a model call that asks for a tool and sends the result
of the last one back, against the same call with the telling of tools off.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from otel_agent_instrumentation import tool
from otel_agent_instrumentation.signals import run, tool_calls
from otel_agent_instrumentation.signals.tool_calls import tool_calls as remembered

from . import fixtures, variants

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
BLOCKS = 8
CALLS = 100


def _plain(path: str, text: str) -> int:
    return len(path) + len(text)


_measured = tool(_plain)


class Asking(httpx2.BaseTransport):
    """Answers each call with a tool call of a new id."""

    def __init__(self) -> None:
        self.count = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:  # noqa: ARG002 - the transport's signature
        """A chat completion that asks for a tool."""
        self.count += 1
        call = {"name": "edit_file", "arguments": json.dumps({"path": "a.py", "text": "x" * 200})}
        message = {"role": "assistant", "tool_calls": [{"id": f"c{self.count}", "type": "function", "function": call}]}
        answer = {**fixtures.ANSWER, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=json.dumps(answer).encode())


class Loop:
    """An agent's step: the model is sent the last result, and asks for the next call."""

    def __init__(self) -> None:
        self._transport = Asking()
        http = openai.DefaultHttpxClient(transport=self._transport)
        self._client = openai.OpenAI(api_key="none", http_client=http, max_retries=0)
        self._tools: Any = [
            {"type": "function", "function": {"name": f"{name}_file", "parameters": {}}}
            for name in ("read", "list", "move", "edit")
        ]

    def __call__(self) -> None:
        """One call."""
        result = {"role": "tool", "tool_call_id": f"c{self._transport.count}", "content": "done"}
        question: Any = [{"role": "user", "content": fixtures.PROMPT}, result]
        self._client.chat.completions.create(
            model=fixtures.MODEL, messages=question, temperature=0.1, max_tokens=100, top_p=1.0, tools=self._tools
        )


def _block(variant: variants.Variant, work: Callable[[], object], count: int) -> float:
    """CPU seconds of the whole process for one call, as in `__main__`."""
    variant.on()
    for _ in range(2):
        work()
    variant.flush()
    gc.collect()
    begin = time.process_time()
    for _ in range(count):
        work()
    variant.flush()
    spent = (time.process_time() - begin) / count
    variant.off()
    return spent


class _Untold(variants.Ours):
    """Ours, without a memory of tool calls."""

    def on(self) -> None:
        """Leave out what remembers and infers."""
        super().on()
        self._kept = run.infer, remembered.remember
        run.infer, remembered.remember = _nothing, _nothing  # type: ignore[assignment]

    def off(self) -> None:
        """Put it back."""
        if hasattr(self, "_kept"):
            run.infer, remembered.remember = self._kept  # type: ignore[method-assign]
            del self._kept
        super().off()


def _nothing(*_args: object) -> None:
    return None


def main() -> None:
    """Print the figures."""
    bare, floor, ours, untold = variants.Variant(), variants.Floor(), variants.Ours(), _Untold()
    client, loop, number = fixtures.client(), Loop(), iter(range(10**9))
    cells: dict[str, tuple[variants.Variant, Callable[[], object], int]] = {
        "bare": (bare, lambda: bare.call(client), CALLS),
        "floor": (floor, lambda: floor.call(client), CALLS),
        "plain": (bare, lambda: _plain(f"{next(number)}.py", "text"), CALLS * 10),
        "@tool": (ours, lambda: _measured(f"{next(number)}.py", "text"), CALLS * 10),
        "loop bare": (bare, loop, CALLS),
        "loop untold": (untold, loop, CALLS),
        "loop": (ours, loop, CALLS),
    }
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        found: dict[str, list[float]] = {name: [] for name in cells}
        for _ in range(BLOCKS):
            for name, (variant, work, count) in cells.items():
                found[name].append(_block(variant, work, count))
        rounds.append({name: statistics.median(values) for name, values in found.items()})
    floor.close()
    ours.close()
    tool_calls.tool_calls.clear()
    print(f"\nper tool call (content off, guard on; median of {ROUNDS} interleaved rounds)")
    for what, above, below in (
        ("@tool", "@tool", "plain"),
        ("inferred, with its span", "loop", "loop untold"),
        ("model call that asks", "loop untold", "loop bare"),
    ):
        costs = [one[above] - one[below] for one in rounds]
        ratio = statistics.median(cost / (one["floor"] - one["bare"]) for cost, one in zip(costs, rounds, strict=True))
        print(f"  {what:24} {ratio:5.2f} x floor   {statistics.median(costs) * 1e6:7.1f} us")
