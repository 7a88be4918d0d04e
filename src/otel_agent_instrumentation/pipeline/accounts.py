# SPDX-License-Identifier: Apache-2.0
"""The books of one queue: emitted = exported + dropped (by reason) + queued + unknown, at every moment.

``unknown`` is what was in the air when the exit's deadline (or a hung backend) cut it off: it may have arrived. The
numbers become the metric ``agent.telemetry.dropped``, the line at exit and a line of ``otel-agent doctor``.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from .forks import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Snapshot(NamedTuple):
    """The books at one moment. Counts are records (spans, log records, metric points); ``queued_bytes`` an estimate.

    ``queued`` includes what is being sent. ``resent`` counts records sent again although the first attempt may have
    arrived; ``trouble`` counts failed attempts by reason.
    """

    signal: str
    exporter: str
    emitted: int
    exported: int
    dropped: Mapping[str, int]
    queued: int
    queued_bytes: int
    unknown: int
    resent: int
    trouble: Mapping[str, int]

    @property
    def lost(self) -> int:
        """All that was dropped, for whatever reason."""
        return sum(self.dropped.values())

    def sentence(self) -> str:
        """Return the books as a reader of the exit line wants them: only what is not zero."""
        parts = [f"{self.emitted} {self.signal}: {self.exported} exported to {self.exporter}"]
        if self.lost:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.dropped.items()))
            parts.append(f"{self.lost} dropped ({reasons})")
        if self.unknown:
            parts.append(f"{self.unknown} unknown (in flight at the cut)")
        if self.queued:
            parts.append(f"{self.queued} queued")
        return ", ".join(parts)


def _nothing() -> tuple[int, int]:
    return 0, 0


class Accounts:
    """Counters of one queue. Change them under ``lock`` only; what waits is asked of ``pending`` (count, bytes)."""

    def __init__(self, signal: str, exporter: str, pending: Callable[[], tuple[int, int]] = _nothing) -> None:
        self.signal = signal
        self.exporter = exporter
        self._pending = pending
        self._clear()
        reset_after_fork(self)
        _open.append(weakref.ref(self))

    def _clear(self) -> None:
        self.lock = threading.Lock()
        self.exported = 0
        self.unknown = 0
        self.resent = 0
        self.dropped: Counter[str] = Counter()
        self.trouble: Counter[str] = Counter()
        self._spilled: deque[str] = deque()

    def reset_in_child(self) -> None:
        """Start at zero: the parent accounts for what it emitted."""
        self._clear()

    def drop(self, reason: str) -> None:
        """Count the loss of one record. Never blocks: a finaliser may get here while its thread holds the lock."""
        self._spilled.append(reason)
        if self.lock.acquire(blocking=False):
            try:
                self._fold()
            finally:
                self.lock.release()

    def _fold(self) -> None:
        while self._spilled:
            self.dropped[self._spilled.popleft()] += 1

    def note(self, reason: str) -> None:
        """Count a failed attempt. Takes the lock."""
        with self.lock:
            self.trouble[reason] += 1

    def snapshot(self) -> Snapshot:
        """Return a consistent copy. Emitted is what the rest adds up to: nothing is counted on the caller's path."""
        with self.lock:
            self._fold()
            queued, size = self._pending()
            dropped = {reason: count for reason, count in self.dropped.items() if count}
            return Snapshot(
                signal=self.signal,
                exporter=self.exporter,
                emitted=self.exported + sum(dropped.values()) + queued + self.unknown,
                exported=self.exported,
                dropped=dropped,
                queued=queued,
                queued_bytes=size,
                unknown=self.unknown,
                resent=self.resent,
                trouble=dict(self.trouble),
            )


_open: list[weakref.ref[Accounts]] = []


def snapshots() -> list[Snapshot]:
    """Return the books of every queue of this process, in the order of their making."""
    alive = [accounts for accounts in (ref() for ref in _open) if accounts is not None]
    _open[:] = [ref for ref in _open if ref() is not None]
    return [accounts.snapshot() for accounts in alive]
