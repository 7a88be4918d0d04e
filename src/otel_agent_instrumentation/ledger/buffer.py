# SPDX-License-Identifier: Apache-2.0
"""What waits for the ledger's writer: bounded in bytes, filled without a lock, told of when there is something to do.

Filling it is safe in a finaliser and in a signal handler: `deque.append` and `SimpleQueue.put` are documented as
reentrant, and an addition is one step of the interpreter (a build without the GIL may let the byte count drift).
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from .lines import Event

MIB = 1024 * 1024
_PRESS = 4 * MIB
_NEVER = float("inf")
_ASLEEP = -1.0
_ROOM_WAIT = 0.05
_POLL = 0.001


class Entry(Protocol):
    """What waits: an event that is yet to be made."""

    @property
    def weight(self) -> int:
        """About so many bytes it takes."""
        ...

    def event(self) -> Event | None:
        """The event, made on the writer's thread; None where it is to leave no line."""
        ...


class Marker:
    """Somebody waits until all before it is written."""

    weight = 0

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()

    def event(self) -> None:
        """It leaves no line."""


class Limits(NamedTuple):
    """How much may wait, and for how long (seconds)."""

    bytes: int = 64 * MIB
    items: int | None = None
    """Most events that wait, where somebody chose a number: who comes to a full buffer waits 50 ms for the writer."""
    interval: float = 0.2
    """How long the writer gathers before it writes."""
    block: bool = False
    """Whether who comes to a full buffer waits for room, however long: nothing is dropped for want of it."""
    sync: bool = False
    """Whether the disk has to hold what is written before anybody is told that it is."""


class Buffer:
    """Events on their way to the writer. ``wait`` and ``done`` are for its thread, the rest for anybody."""

    def __init__(self, limits: Limits, start: Callable[[], None]) -> None:
        self._limits = limits
        self._most_items = limits.items or _NEVER
        self._press = min(_PRESS, limits.bytes // 4)
        self._start = start
        """Makes sure that somebody writes: called when there is something after there was nothing."""
        self.reset()

    def reset(self) -> None:
        """Forget everything: what waits in a forked child is its parent's."""
        self.items: deque[Entry] = deque()
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._bytes = 0
        # Who puts so many bytes there that there are more than this wakes the writer.
        self._alarm = _ASLEEP
        self._stalled = False
        self._spilled: deque[str] = deque()
        self._lost: Counter[str] = Counter()
        self._counting = threading.Lock()
        self.writer = 0
        """The thread that writes: it never waits for itself."""

    # For anybody ----------------------------------------------------------------------------------------------------

    def put(self, entry: Entry) -> bool:
        """Append an event; whether there was room. Its loss is counted."""
        size = entry.weight
        waiting = self._bytes + size
        if (waiting > self._limits.bytes or len(self.items) >= self._most_items) and not self._room(size):
            return False
        self._bytes += size
        self.items.append(entry)
        if waiting > self._alarm:
            asleep = self._alarm == _ASLEEP
            self._alarm = self._press if asleep else _NEVER
            self._rouse(hurry=not asleep)
        return True

    def marker(self) -> threading.Lock:
        """A lock that is released when all that is there now has been written, soon."""
        marker = Marker()
        self.items.append(marker)
        self._rouse(hurry=True)
        return marker.lock

    def _rouse(self, *, hurry: bool) -> None:
        self._wake.put(hurry)
        self._start()

    def _room(self, size: int) -> bool:
        limits = self._limits
        if size > limits.bytes:
            self.lose("too_large")
            return False
        wait = limits.block or (len(self.items) >= self._most_items and not self._stalled)
        if wait and threading.get_ident() != self.writer:
            deadline = _NEVER if limits.block else time.monotonic() + _ROOM_WAIT
            while time.monotonic() < deadline:
                self._rouse(hurry=True)
                if self._bytes + size <= limits.bytes and len(self.items) < self._most_items:
                    return True
                time.sleep(_POLL)
            self._stalled = True  # one wait is enough, until it has written again
        self.lose("queue_full")
        return False

    def lose(self, reason: str, count: int = 1) -> None:
        """Count a loss. Takes no lock."""
        self._spilled.extend([reason] * count)

    def lost(self) -> dict[str, int]:
        """The losses so far, by reason: a copy."""
        with self._counting:
            while self._spilled:
                self._lost[self._spilled.popleft()] += 1
            return dict(self._lost)

    # For the writer -------------------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Sleep until there is something, then for the interval, unless somebody is in a hurry."""
        wake, hurry = self._wake, False
        if not self.items:
            self._alarm = _ASLEEP
            # Looked at again: who put something before the alarm was set woke nobody.
            hurry = not self.items and wake.get()
        self._alarm = self._press
        deadline = time.monotonic() + self._limits.interval
        while not hurry and (left := deadline - time.monotonic()) > 0:
            try:
                hurry = wake.get(timeout=left)
            except Empty:
                break
        self._alarm = self._press

    def retire(self) -> None:
        """Wake the writer's thread for the last time; the next one waits at another place."""
        old, self._wake = self._wake, SimpleQueue()
        self._alarm = _ASLEEP
        old.put(True)  # noqa: FBT003 - a queue's item

    def sleep(self) -> None:
        """Nobody writes from here on, until something comes."""
        self._alarm = _ASLEEP

    def done(self, size: int) -> None:
        """So many bytes have been written, or lost."""
        self._bytes -= size
        self._stalled = False
