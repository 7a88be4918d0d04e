# SPDX-License-Identifier: Apache-2.0
"""`make bench [ARGS='calls chunks ...']`: ratios to floors, and times; the names are those of `AREAS`.

Rounds are interleaved: the variants take turns in blocks of milliseconds, so that what the machine does meanwhile falls
on all alike.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import (
    blocks,
    commands,
    emit,
    fixtures,
    ledger,
    mcp_calls,
    monitor,
    redaction,
    scrapes,
    start,
    stream,
    tools,
    variants,
)
from .rounds import BLOCKS, ROUNDS, one_round, pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    _Costs = dict[str, list[float]]

CALLS = 100
STREAMS = 1


def _rounds(measured: dict[str, variants.Variant], count: int, run: Callable[[Any], None] | None = None) -> _Costs:
    client = fixtures.client()
    found = [one_round(measured, client, run, count) for _ in range(ROUNDS)]
    for variant in measured.values():
        variant.close()
    return {name: [costs[name] for costs in found] for name in measured}


def _passes(count: int, run: Callable[[Any], None] | None, *ours: str) -> _Costs:
    """Each variant's costs, and for each its floor's, taken in the same pass.

    The official package has a pass of its own: where ours is installed, it stands the official one down.
    """
    costs: _Costs = {}
    if _has_official():
        found = _rounds({"floor": variants.Floor(), "official": variants.Official()}, count, run)
        costs.update({"official": found["official"], "official's floor": found["floor"]})
    makers: dict[str, Callable[[], variants.Variant]] = {
        "ours": variants.Ours,
        "ours with ledger": variants.OursWithLedger,
    }
    return {**_rounds({"floor": variants.Floor(), **{name: makers[name]() for name in ours}}, count, run), **costs}


def calls() -> None:
    """The cost of a call over the unpatched one."""
    costs = _passes(CALLS, None, "ours", "ours with ledger")
    print(f"\nper call (2 KB prompt, content off, guard on; median of {ROUNDS} interleaved rounds)")
    for name in ("floor", "ours", "ours with ledger", "official"):
        if name in costs:
            floors = costs["official's floor" if name == "official" else "floor"]
            ratio = statistics.median(value / floor for value, floor in zip(costs[name], floors, strict=True))
            print(f"  {name:18} {ratio:5.2f} x floor   {statistics.median(costs[name]) * 1e6:7.1f} us")


def chunks() -> None:
    """The cost of a streamed chunk over the unpatched one."""
    makers = {"official": variants.Official} if _has_official() else {}
    client = fixtures.client()
    print(f"\nper streamed chunk ({fixtures.CHUNKS} a stream; median of {ROUNDS * BLOCKS} pairs, and quartiles)")
    for name, make in {**makers, "ours": variants.Ours}.items():
        found = [cost / fixtures.CHUNKS * 1e6 for cost in pairs(make(), client, fixtures.stream, STREAMS)]
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"  {name:18} {middle:5.2f} us   ({low:.2f} to {high:.2f})")


def _has_official() -> bool:
    try:
        import opentelemetry.instrumentation.genai.openai  # noqa: F401 # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    return True


AREAS: dict[str, Callable[[], None]] = {
    "calls": calls,
    "chunks": chunks,
    "blocks": lambda: blocks.main(_rounds),
    "tools": tools.main,
    "commands": commands.main,
    "monitor": lambda: monitor.main(_rounds),
    "mcp": mcp_calls.main,
    "start": start.main,
    "redaction": redaction.main,
    "metrics": scrapes.main,
    "emit": emit.main,
    "ledger": ledger.main,
    "stream": stream.main,
}


def main() -> None:
    """Run the benchmarks that are named, or all."""
    chosen = sys.argv[1:] or list(AREAS)
    unknown = [name for name in chosen if name not in AREAS]
    if unknown:
        sys.exit(f"no benchmark is named {', '.join(unknown)}: there are {', '.join(AREAS)}")
    os.environ["OTEL_AGENT_SUMMARY"] = "false"
    home = Path.cwd()
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # What a benchmark writes goes with it.
            try:
                AREAS[name]()
            finally:
                os.chdir(home)


if __name__ == "__main__":
    main()
