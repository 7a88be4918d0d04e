# SPDX-License-Identifier: Apache-2.0
"""The memory of this process, looked at now and then on the thread that this package has for such things."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.contain import call
from ..core.reaper import reaper

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 360
_STATM = Path("/proc/self/statm")


class Memory:
    """Samples the resident memory every ``interval`` seconds between `start` and `stop`; remembers the last 360."""

    def __init__(self, sampled: Callable[[int], object]) -> None:
        self._sampled = sampled
        self._interval = 10.0
        self._turn: object | None = None
        """What is scheduled belongs to this; another, or none, and it is over."""
        self._read: tuple[str, Callable[[], int]] | None = None
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._samples: deque[tuple[float, int]] = deque(maxlen=_MOST)
        self._count = self._peak = 0

    @property
    def running(self) -> bool:
        """Whether it looks again."""
        return self._turn is not None

    def start(self, interval: float) -> None:
        """Look every ``interval`` seconds from now on."""
        self._interval = interval
        turn = self._turn = object()
        reaper.start()
        reaper.put(lambda: self._look(turn))

    def stop(self) -> None:
        """Look no more: once this returns, nobody does."""
        with self._lock:
            self._turn = None

    def in_child(self) -> None:
        """In a forked child: the thread that looks is the parent's."""
        self._lock = threading.Lock()
        self.reset()
        if self._turn is not None:
            self.start(self._interval)

    def _look(self, turn: object) -> None:
        with self._lock:
            if self._turn is not turn:
                return
            rss = self.now()
            reaper.at(time.monotonic() + self._interval, lambda: self._look(turn))
            if rss is None:
                return
            self._samples.append((time.time(), rss))
            self._count += 1
            self._peak = max(self._peak, rss)
        self._sampled(rss)

    def now(self) -> int | None:
        """The resident memory in bytes; None where nothing here tells it."""
        if self._read is None:
            self._read = call("monitor.memory", _reader) or ("", lambda: 0)
        return call("monitor.memory", self._read[1]) or None

    def told(self) -> dict[str, Any]:
        """As data. Bytes, and bytes a minute."""
        samples = list(self._samples)
        told: dict[str, Any] = {
            "source": self._read[0] if self._read is not None else "",
            "sampling": self.running,
            "interval_seconds": self._interval,
            "samples": self._count,
            **dict.fromkeys(("rss_bytes", "peak_bytes", "min_bytes", "mean_bytes", "growth_bytes_per_minute")),
            "recent": [{"time": at, "rss_bytes": rss} for at, rss in samples],
        }
        if samples:
            sizes = [rss for _, rss in samples]
            told["rss_bytes"] = sizes[-1]
            told["peak_bytes"] = self._peak
            told["min_bytes"] = min(sizes)
            told["mean_bytes"] = sum(sizes) / len(sizes)
            told["growth_bytes_per_minute"] = _slope(samples)
        return told


def _slope(samples: list[tuple[float, int]]) -> float | None:
    """How fast it grows, by least squares; None where that cannot be said."""
    count = len(samples)
    middle = sum(at for at, _ in samples) / count
    spread = sum((at - middle) ** 2 for at, _ in samples)
    return 60 * sum((at - middle) * rss for at, rss in samples) / spread if spread > 0 else None


def _reader() -> tuple[str, Callable[[], int]]:
    try:
        import psutil  # pyright: ignore[reportMissingModuleSource]
    except ImportError:
        pass
    else:
        info: Any = psutil.Process().memory_info
        return "psutil", lambda: int(info().rss)
    if _STATM.is_file():
        page = os.sysconf("SC_PAGE_SIZE")
        return "/proc", lambda: int(_STATM.read_text().split()[1]) * page
    try:
        import resource
    except ImportError:  # Windows
        return "", lambda: 0
    # The greatest it ever was: kilobytes, on macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return "resource", lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
