# SPDX-License-Identifier: Apache-2.0
"""What the performance monitor adds to a call, and how near its durations are to those of a clock outside the tool.

With the providers that this package builds, and with those of an application, where each call is told as it ends.
Twice: as pairs of blocks with it and without it (`rounds.pairs`), which has all that it causes and varies by some
microseconds where a call itself takes hundreds; and as the time within its own code, which is steady.
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
from .rounds import BLOCKS, ROUNDS, block, pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    import openai

    from otel_agent_instrumentation.core.spec import Call
    from otel_agent_instrumentation.monitors.observed import Observed

CALLS = 50
TOOLS = 500
PASSES = {CALLS: 5, TOOLS: 2}
"""How often `pairs` is gone through, by the calls of a block: a model's call varies more than a tool's."""
THREADS = 8
TIMED = 200


class _Timed:
    """The monitor's observer, timed."""

    name = "timed monitor"

    def __init__(self, observer: Observed) -> None:
        self._observer = observer
        self.spent = 0

    def on_end(self, call: Call) -> None:
        """Have a call noted."""
        begin = time.perf_counter_ns()
        self._observer.on_end(call)
        self.spent += time.perf_counter_ns() - begin

    def flush(self) -> None:
        """Have all counted."""
        begin = time.perf_counter_ns()
        self._observer.flush()
        self.spent += time.perf_counter_ns() - begin


class _Watched(variants.Variant):
    """Another variant, with the monitor."""

    def __init__(self, variant: variants.Variant, *, timed: bool = False) -> None:
        self._variant = variant
        self.monitor = PerformanceMonitor(lambda _: None)
        observed = self.monitor._observed  # noqa: SLF001
        self.observer = _Timed(observed) if timed else observed

    def on(self) -> None:
        """Have it listen to the calls."""
        self._variant.on()
        engine.add_observer(self.observer)

    def flush(self) -> None:
        """Have all counted."""
        self._variant.flush()
        self.observer.flush()

    def off(self) -> None:
        """Have it listen no more."""
        engine.remove_observer(self.observer)
        self._variant.off()


@tool
def _quick(path: str) -> int:
    return len(path)


def _use(client: openai.OpenAI) -> None:  # noqa: ARG001 - a call, to `block`
    _quick("a.py")


def main(rounds: Callable[..., dict[str, list[float]]]) -> None:
    """Print the figures."""
    client = fixtures.client()
    gc.freeze()  # what is loaded is not looked at between the blocks
    added: dict[str, tuple[list[float], float]] = {}
    for whose, make in (("own providers", variants.Ours), ("an application's", variants.OursInApplication)):
        variant = make()
        for what, work, count in (("a model call", fixtures.call, CALLS), ("a `@tool`", _use, TOOLS)):
            found: list[float] = []
            for _ in range(PASSES[count]):
                found += pairs(_Watched(variant), client, work, count, variant)
            added[f"{what}, {whose}"] = found, _within(variant, client, work, count)
        if make is variants.Ours:
            _durations(variant)
        variant.close()
    floor = statistics.median(rounds({"floor": variants.Floor()}, CALLS, None)["floor"])
    print(
        f"  the floor {floor * 1e6:.0f} us; the monitor adds: median of pairs of blocks and quartiles; in its own code"
    )
    for name, (found, within) in added.items():
        low, middle, high = (value * 1e6 for value in statistics.quantiles(found, n=4))
        ratio = middle / floor / 1e6
        print(f"    {name:30} {ratio:6.3f} x floor {middle:6.2f} us ({low:.1f} to {high:.1f}) {within * 1e6:6.2f} us")


def _within(variant: variants.Variant, client: openai.OpenAI, work: Callable[[Any], None], count: int) -> float:
    watched = _Watched(variant, timed=True)
    spent: list[float] = []
    for _ in range(ROUNDS * BLOCKS):
        timed: Any = watched.observer
        before = timed.spent
        block(watched, client, work, count)
        spent.append((timed.spent - before) / (count + 2) / 1e9)  # two to warm up
    return statistics.median(spent)


def _durations(variant: variants.Variant) -> None:
    watched = _Watched(variant)
    watched.on()
    engine.defers = False
    told: list[float] = []
    outside: list[float] = []

    def call(number: int) -> None:
        name = f"sleep_{number}"  # a name of its own, to be told apart
        sleep = tool(name=name)(lambda seconds: time.sleep(seconds))  # noqa: PLW0108 - @tool takes functions of Python
        begin = time.perf_counter()
        sleep(0.05 + 0.85 * number / TIMED)
        end = time.perf_counter()
        outside.append(end - begin)
        watched.flush()
        told.append(watched.monitor._keeper.facts.tools.known[name].durations.last)  # noqa: SLF001

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(call, range(TIMED // 2)))
        watched.monitor.reset()  # a hundred names are told apart
        list(pool.map(call, range(TIMED // 2, TIMED)))
    engine.defers = True
    watched.off()
    off = sorted(abs(one - other) * 1000 for one, other in zip(outside, told, strict=True))
    print(f"\nthe performance monitor: {TIMED} tools of 50 to 900 ms, {THREADS} at once, off a clock outside by")
    print(f"  median {statistics.median(off):.3f} ms, 95 % {off[int(len(off) * 0.95)]:.3f} ms, most {off[-1]:.3f} ms")
