# SPDX-License-Identifier: Apache-2.0
"""`make bench [ARGS='calls chunks start']`: prints each figure as a ratio to its floor, and its time for orientation.

Rounds are interleaved: every variant runs once in each, so that what the machine does meanwhile falls on all alike.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from . import fixtures, start, variants

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
CALLS = 300
STREAMS = 6


def _time(run: Callable[[Any], None], count: int) -> float:
    """CPU seconds of the whole process for one call, the best of five slices of a block, after a warm-up.

    CPU time, not wall time: other programs of the machine do not count, our own worker threads do.
    """
    client = fixtures.client()
    for _ in range(20 if count > STREAMS else 2):
        run(client)
    gc.collect()
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(max(1, count // 5)):
            run(client)
        best = min(best, (time.process_time() - begin) / max(1, count // 5))
    return best


def _rounds(measured: dict[str, Any], count: int, run: Callable[[Any], None] | None = None) -> dict[str, list[float]]:
    """Each variant's cost over the bare call, in seconds, once a round."""
    costs: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(ROUNDS):
        with variants.bare():
            base = _time(run or fixtures.call, count)
        for name, variant in measured.items():
            with variant() as target:
                costs[name].append(_time(run or target, count) - base)
    return costs


def calls() -> None:
    """The cost of a call over the unpatched one."""
    measured = {"floor": variants.floor, "ours": variants.ours, "ours with ledger": variants.ours_with_ledger}
    if _has_official():
        measured["official"] = variants.official
    costs = _rounds(measured, CALLS)
    print(f"\nper call (2 KB prompt, content off, guard on, {ROUNDS} interleaved rounds)")
    for name, values in costs.items():
        ratio = statistics.median(value / floor for value, floor in zip(values, costs["floor"], strict=True))
        print(f"  {name:18} {ratio:5.2f} x floor   {statistics.median(values) * 1e6:7.1f} us")


def chunks() -> None:
    """The cost of a streamed chunk over the unpatched one."""
    measured = {"ours": variants.ours}
    if _has_official():
        measured["official"] = variants.official
    costs = _rounds(measured, STREAMS, fixtures.stream)
    print(f"\nper streamed chunk ({fixtures.CHUNKS} chunks a stream)")
    for name, values in costs.items():
        print(f"  {name:18} {statistics.median(values) / fixtures.CHUNKS * 1e6:5.2f} us")


def _has_official() -> bool:
    try:
        import opentelemetry.instrumentation.genai.openai  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> None:
    """Run the benchmarks that are named, or all."""
    chosen = sys.argv[1:] or ["calls", "chunks", "start"]
    os.environ["OTEL_AGENT_SUMMARY"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if "calls" in chosen:
            calls()
        if "chunks" in chosen:
            chunks()
    if "start" in chosen:
        start.main()


if __name__ == "__main__":
    main()
