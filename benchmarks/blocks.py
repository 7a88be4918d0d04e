# SPDX-License-Identifier: Apache-2.0
"""What a block of the run API costs: a cycle, a step, a state around a call that nothing else looks at."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import otel_agent_instrumentation as agent
from otel_agent_instrumentation.core.engine import engine

from . import fixtures, variants

if TYPE_CHECKING:
    from collections.abc import Callable

    import openai

CALLS = 100


class InBlock(variants.Ours):
    """An unpatched call within a block, in a run."""

    def __init__(self, block: Callable[[], Any], *, ledger: bool) -> None:
        super().__init__()
        self.ledger = ledger
        self._run = agent.run("bench")

        def within(client: openai.OpenAI) -> None:
            with block():
                fixtures.call(client)

        self.call = within

    def on(self) -> None:
        """Open a run."""
        super().on()
        engine.enabled = False  # the block alone
        self._run.__enter__()

    def off(self) -> None:
        """Close it."""
        super().off()
        if hasattr(self, "_run"):
            self._run.__exit__(None, None, None)


BLOCKS: dict[str, Callable[[], Any]] = {
    "cycle()": agent.cycle,
    "step()": lambda: agent.step("edit the parser", tool="edit_file"),
    "state()": lambda: agent.state("ACT"),
}


def main(rounds: Callable[[dict[str, variants.Variant], int], dict[str, list[float]]]) -> None:
    """Print each block's cost over the unpatched call, without and with the ledger file."""
    measured: dict[str, variants.Variant] = {"floor": variants.Floor()}
    for name, block in BLOCKS.items():
        measured[name] = InBlock(block, ledger=False)
        measured[f"{name}, ledger"] = InBlock(block, ledger=True)
    costs = rounds(measured, CALLS)
    print("\nper block of the run API (the call in it subtracted; logs on, their exporter off)")
    for name, values in costs.items():
        ratio = statistics.median(value / floor for value, floor in zip(values, costs["floor"], strict=True))
        print(f"  {name:18} {ratio:5.2f} x floor   {statistics.median(values) * 1e6:7.1f} us")
