# SPDX-License-Identifier: Apache-2.0
"""A flush as a request to the worker, which any thread can wait for and leave."""

from __future__ import annotations

import _thread
import time


class Order:
    """A request to deliver everything by ``deadline`` (`time.monotonic` seconds); any thread may wait for it."""

    __slots__ = ("_done", "deadline", "delivered", "final")

    def __init__(self, deadline: float, *, final: bool = False) -> None:
        self.deadline = deadline
        self.final = final
        self.delivered = False
        # A bare lock instead of an event: safe to wait for in a signal handler.
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def finish(self, *, delivered: bool) -> None:
        """Let those who wait go on. To be called once."""
        self.delivered = delivered
        self._done.release()

    def wait(self, deadline: float) -> bool:
        """Wait for the end, at most until ``deadline``; returns whether everything was delivered."""
        if not self._done.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False
        self._done.release()
        return self.delivered
