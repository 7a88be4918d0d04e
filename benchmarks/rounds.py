# SPDX-License-Identifier: Apache-2.0
"""One round of a benchmark: the variants take turns in short blocks, and each is told by its median."""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING, Any

from . import variants

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
BLOCKS = 8


def block(variant: variants.Variant, client: Any, run: Callable[[Any], None], count: int) -> float:
    """CPU seconds of the whole process for one call, over a short block.

    CPU time, not wall time: other programs of the machine do not count, worker threads do. What a variant holds back
    until after the call (a queue of spans, an end not yet told) is done within the block, and counts.
    """
    variant.on()
    for _ in range(min(2, count)):
        run(client)
    variant.flush()
    gc.collect()  # all begin alike; what a block leaves to the collector counts when it runs within the block
    begin = time.process_time()
    for _ in range(count):
        run(client)
    variant.flush()
    spent = (time.process_time() - begin) / count
    variant.off()
    return spent


def one_round(
    measured: dict[str, variants.Variant],
    client: Any,
    run: Callable[[Any], None] | None,
    count: int,
    bare: variants.Variant | None = None,
) -> dict[str, float]:
    """Each variant's cost over the bare call: the median of blocks that take turns."""
    taking_turns = {"bare": bare or variants.Variant(), **measured}
    seconds: dict[str, list[float]] = {name: [] for name in taking_turns}
    for _ in range(BLOCKS):
        for name, variant in taking_turns.items():
            seconds[name].append(block(variant, client, run or variant.call, count))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return {name: middle[name] - middle["bare"] for name in measured}


def pairs(
    variant: variants.Variant,
    client: Any,
    run: Callable[[Any], None],
    count: int,
    bare: variants.Variant | None = None,
) -> list[float]:
    """A variant's cost over ``bare``, again and again: bare, variant, variant, bare, so that a drift cancels out.

    For what is small beside the call itself, as a chunk's cost is beside the client's parsing of it. ``bare``: by
    default the unpatched call.
    """
    below = bare or variants.Variant()
    found: list[float] = []
    for _ in range(ROUNDS * BLOCKS):
        before, one, two, after = (block(who, client, run, count) for who in (below, variant, variant, below))
        found.append((one + two - before - after) / 2)
    variant.close()
    return found
