# SPDX-License-Identifier: Apache-2.0
"""One quiet thread for what cannot be done where it is noticed: streams that the garbage collector drops, idle runs.

A finaliser may run at any allocation, also in a thread that holds a lock of an exporter's queue; ending a span there
could wait for that very lock. So a finaliser only puts the work here: `SimpleQueue.put` is documented as reentrant.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from .contain import Contained

if TYPE_CHECKING:
    from collections.abc import Callable

_WORK = Contained("reaper.work")


class Reaper:
    """Runs callables soon (`put`) or at a time (`at`), on one daemon thread that starts with the first need."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._queue: SimpleQueue[tuple[float, Callable[[], object]]] = SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._busy = threading.Lock()

    def start(self) -> None:
        """Make sure that the thread runs. To be called where a thread may be started: never in a finaliser."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="otel-agent-reaper", daemon=True)
                thread.start()
                self._thread = thread

    def put(self, work: Callable[[], object]) -> None:
        """Run ``work`` as soon as the thread gets to it. Safe in finalisers and signal handlers."""
        self._queue.put((0.0, work))

    def at(self, when: float, work: Callable[[], object]) -> None:
        """Run ``work`` at ``when`` (`time.monotonic` seconds)."""
        self._queue.put((when, work))

    def drain(self) -> None:
        """Do now what was put (not the timers): before a flush, on the caller's thread."""
        timers: list[tuple[float, Callable[[], object]]] = []
        while True:
            try:
                when, work = self._queue.get_nowait()
            except Empty:
                break
            if when:
                timers.append((when, work))
                continue
            with _WORK:
                work()
        for timer in timers:
            self._queue.put(timer)
        # What the thread took before us may still be running.
        if self._busy.acquire(timeout=0.5):
            self._busy.release()

    def _run(self) -> None:
        while True:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            try:
                when, work = self._queue.get(timeout=timeout)
            except Empty:
                _, _, work = heapq.heappop(self._timers)
            else:
                if when:
                    heapq.heappush(self._timers, (when, next(self._count), work))
                    continue
            with self._busy, _WORK:
                work()
            del work  # else the last stream, with all that was read of it, lives until the next


reaper = Reaper()
"""The reaper of this process."""
