# SPDX-License-Identifier: Apache-2.0
"""A histogram with logarithmic buckets: constant memory, and quantiles whose relative error is known.

Each bucket is 1 % wide, so that a quantile is within 0.5 % of a value that was added (DDSketch's bound, Masson et al.,
VLDB 2019, without its collapsing: the range is fixed). Count, sum, least and greatest value are exact.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ERROR = 0.005
"""Greatest relative error of a quantile, for values between `LEAST` and `MOST`."""
LEAST, MOST = 1e-5, 1e5
"""Seconds: 10 us to 27 hours. What is below or above counts in the first or last bucket; a quantile never leaves the
range of what was added."""

_WIDTH = math.log((1 + ERROR) / (1 - ERROR))
_OFFSET = -math.log(LEAST) / _WIDTH
_COUNT = int(math.log(MOST) / _WIDTH + _OFFSET) + 1
_log = math.log


class Histogram:
    """Values of one kind. Not safe between threads: its owner has a lock."""

    __slots__ = ("_buckets", "count", "last", "max", "min", "sum")

    def __init__(self) -> None:
        self._buckets: array[int] | None = None
        self.count = 0
        self.sum = 0.0
        self.min = math.inf
        self.max = 0.0
        self.last = 0.0

    def add(self, value: float) -> None:
        """Take a value of 0 or more."""
        buckets = self._buckets
        if buckets is None:  # 9 KB, for those that get any
            buckets = self._buckets = array("I", bytes(array("I").itemsize * _COUNT))
        index = int(_log(value) / _WIDTH + _OFFSET) if value > LEAST else 0
        buckets[index if index < _COUNT else _COUNT - 1] += 1
        self.count += 1
        self.sum += value
        self.last = value
        if value < self.min:  # noqa: PLR1730 - half the price
            self.min = value
        if value > self.max:  # noqa: PLR1730
            self.max = value

    def include(self, other: Histogram) -> None:
        """Take all values of another."""
        if other._buckets is None:
            return
        mine = self._buckets or array("I", bytes(other._buckets.itemsize * _COUNT))
        self._buckets = array("I", map(int.__add__, mine, other._buckets))
        self.count += other.count
        self.sum += other.sum
        self.min, self.max = min(self.min, other.min), max(self.max, other.max)
        self.last = other.last

    def quantile(self, share: float) -> float | None:
        """The value that ``share`` (0 to 1) of all do not exceed, within `ERROR`; None where there is none."""
        if self._buckets is None:
            return None
        rank, seen = share * (self.count - 1), 0
        for index, count in enumerate(self._buckets):
            seen += count
            if seen > rank:
                # The point of the bucket whose relative distance to both of its ends is the same.
                middle = math.exp((index - _OFFSET) * _WIDTH) * (1 + ERROR)
                return min(max(middle, self.min), self.max)
        return self.max

    def summary(self) -> dict[str, float | int | None]:
        """Count, sum, mean, least, greatest, last value, and quantiles; without values all None but the first two."""
        if not self.count:
            return {"count": 0, "sum": 0.0, **dict.fromkeys(("mean", "min", "max", "last", "p50", "p90", "p95", "p99"))}
        return {
            "count": self.count,
            "sum": self.sum,
            "mean": self.sum / self.count,
            "min": self.min,
            "max": self.max,
            "last": self.last,
            **{f"p{round(share * 100)}": self.quantile(share) for share in (0.5, 0.9, 0.95, 0.99)},
        }


def merged(all_of: Iterable[Histogram]) -> Histogram:
    """One histogram of all values."""
    found = Histogram()
    for one in all_of:
        found.include(one)
    return found
