# SPDX-License-Identifier: Apache-2.0
"""What the performance monitor adds to a call, and how near its durations are to those of a clock outside the tool.

A call costs a hundred microseconds and varies by ten, so that what is added cannot be seen as a difference of two
variants. It is timed where it happens: in the observer's own time, between two calls' other work.
"""

from __future__ import annotations

import gc
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from otel_agent_instrumentation import tool
from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.monitors.performance import PerformanceMonitor

from . import fixtures, variants

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_agent_instrumentation.core.spec import Call

CALLS = 100
BLOCKS = 40
THREADS = 8
TIMED = 200


class _Timed:
    """The monitor's observer, timed."""

    name = "timed monitor"

    def __init__(self) -> None:
        self.monitor = PerformanceMonitor(lambda _: None)
        self._on_end = self.monitor._observed.on_end  # noqa: SLF001
        self.spent = 0

    def on_end(self, call: Call) -> None:
        begin = time.perf_counter_ns()
        self._on_end(call)
        self.spent += time.perf_counter_ns() - begin


@tool
def _quick(path: str) -> int:
    return len(path)


def main(rounds: Callable[..., dict[str, list[float]]]) -> None:
    """Print the figures."""
    variant, client = variants.Ours(), fixtures.client()
    works: dict[str, Callable[[], object]] = {
        "a model call": lambda: variant.call(client),
        "a `@tool`": lambda: _quick("a.py"),
    }
    added = {what: _added(variant, work) for what, work in works.items()}
    _durations(variant)
    floor = statistics.median(rounds({"floor": variants.Floor()}, CALLS, None)["floor"])
    variant.close()
    print(f"  the floor {floor * 1e6:.0f} us; the monitor adds (median of {BLOCKS} blocks of {CALLS} calls)")
    for what, seconds in added.items():
        print(f"    to {what:14} {seconds * 1e6:5.2f} us   {seconds / floor:.3f} x floor")


def _added(variant: variants.Variant, work: Callable[[], Any]) -> float:
    timed = _Timed()
    engine.add_observer(timed)
    found: list[float] = []
    for _ in range(BLOCKS):
        variant.on()
        work()
        variant.flush()
        gc.collect()
        timed.spent = 0
        for _ in range(CALLS):
            work()
        variant.flush()
        variant.off()
        found.append(timed.spent / CALLS / 1e9)
    engine.remove_observer(timed)
    return statistics.median(found)


def _durations(variant: variants.Variant) -> None:
    timed = _Timed()
    variant.on()
    engine.defers = False
    engine.add_observer(timed)
    told: list[float] = []
    outside: list[float] = []

    def call(number: int) -> None:
        name = f"sleep_{number}"  # a name of its own, to be told apart
        sleep = tool(name=name)(lambda seconds: time.sleep(seconds))  # noqa: PLW0108 - @tool takes functions of Python
        begin = time.perf_counter()
        sleep(0.05 + 0.85 * number / TIMED)
        end = time.perf_counter()
        outside.append(end - begin)
        told.append(timed.monitor._keeper.facts.tools.known[name].durations.last)  # noqa: SLF001

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(call, range(TIMED // 2)))
        timed.monitor.reset()  # a hundred names are told apart
        list(pool.map(call, range(TIMED // 2, TIMED)))
    engine.remove_observer(timed)
    engine.defers = True
    variant.off()
    off = sorted(abs(one - other) * 1000 for one, other in zip(outside, told, strict=True))
    print(f"\nthe performance monitor: {TIMED} tools of 50 to 900 ms, {THREADS} at once, off a clock outside by")
    print(f"  median {statistics.median(off):.3f} ms, 95 % {off[int(len(off) * 0.95)]:.3f} ms, most {off[-1]:.3f} ms")
