# SPDX-License-Identifier: Apache-2.0
"""A queue bounded in bytes and in number that never blocks who fills it, not even in a finaliser or signal handler.

Filling it takes no lock: `deque.append` is one step of the interpreter, and so is the addition to the byte count (on a
build without the GIL the count may drift; `recount` sets it right). Whoever finds the queue over its bound throws
the oldest away if the lock is free, and otherwise leaves that to whoever holds it. All other moves happen under the
lock of the accounts, so that a snapshot never sees a record twice or not at all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from .accounts import Accounts
from .outcome import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")
MIB = 1024 * 1024


class Limits(NamedTuple):
    """Bounds of a queue and the pace of its worker; times in seconds.

    ``batch_bytes`` keeps a request below what collectors accept (gRPC: 4 MiB). ``attempt`` bounds one request.
    """

    delay: float = 1.0
    max_items: int = 2048
    batch_items: int = 512
    max_bytes: int = 64 * MIB
    batch_bytes: int = 3 * MIB
    attempt: float = 10.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Batch(Generic[T]):
    """Records in flight with their sizes. ``epoch`` tells a batch that was given up meanwhile from a current one."""

    entries: list[tuple[T, int]]
    epoch: int

    def records(self) -> list[T]:
        """The records alone."""
        return [record for record, _ in self.entries]

    def size(self) -> int:
        """Their estimated bytes."""
        return sum(size for _, size in self.entries)

    def halves(self) -> tuple[Batch[T], Batch[T]]:
        """Return two batches that together are this one, in order."""
        middle = len(self.entries) // 2
        return Batch(self.entries[:middle], self.epoch), Batch(self.entries[middle:], self.epoch)


class BoundedQueue(Generic[T]):
    """The queue of one exporter. ``put`` may be called from anywhere; the rest belongs to its one worker."""

    def __init__(self, signal: str, exporter: str, limits: Limits) -> None:
        self.max_items = max(1, limits.max_items)
        self.max_bytes = max(1, limits.max_bytes)
        self.batch_items = max(1, min(limits.batch_items, self.max_items))
        self.batch_bytes = max(1, min(limits.batch_bytes, self.max_bytes))
        self._epoch = 0
        self.reset()
        self.accounts = Accounts(signal, exporter, self._pending)

    def reset(self) -> None:
        """Forget everything, without looking at it: the memory is a parent process's."""
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._flying = 0
        self._flying_bytes = 0
        self._closed = False
        self._epoch += 1

    def __len__(self) -> int:
        return len(self._items)

    # What producers do ----------------------------------------------------------------------------------------------

    def put(self, record: T, size: int) -> bool:
        """Append ``record``; returns whether a full batch waits. Never blocks, never raises."""
        if size > self.max_bytes or self._closed:
            self.accounts.drop("after_shutdown" if self._closed else "too_large")
            return False
        self._items.append((record, size))
        self._bytes += size
        count = len(self._items)
        if count > self.max_items or self._bytes > self.max_bytes:
            self._trim()
        return count >= self.batch_items or self._bytes >= self.batch_bytes

    def _trim(self) -> None:
        lock = self.accounts.lock
        # A finaliser may put a record while this very thread trims: waiting here would be for ever.
        if not lock.acquire(blocking=False):
            return
        try:
            self._trim_locked()
        finally:
            lock.release()

    def _trim_locked(self) -> None:
        while self._items and (len(self._items) > self.max_items or self._bytes > self.max_bytes):
            _, size = self._items.popleft()
            self._bytes -= size
            self.accounts.dropped["queue_full"] += 1

    # What the worker does -------------------------------------------------------------------------------------------

    def take(self) -> Batch[T] | None:
        """Take the oldest records that make a batch; they are in flight until settled or restored."""
        with self.accounts.lock:
            entries: list[tuple[T, int]] = []
            taken = 0
            while self._items and len(entries) < self.batch_items:
                size = self._items[0][1]
                if entries and taken + size > self.batch_bytes:
                    break
                entries.append(self._items.popleft())
                taken += size
            self._flying += len(entries)
            self._flying_bytes += taken
            return Batch(entries, self._epoch) if entries else None

    def recount(self) -> None:
        """Weigh anew what waits: makes up for additions that were lost on a build without the GIL."""
        with self.accounts.lock:
            self._bytes = sum(size for _, size in self._items.copy()) + self._flying_bytes
            self._trim_locked()

    def settle(self, batch: Batch[T], outcome: Outcome) -> None:
        """Book ``batch`` as delivered or dropped, also if it was given up as unknown before."""
        count = len(batch.entries)
        with self.accounts.lock:
            self._land(batch)
            if outcome.verdict is Verdict.DELIVERED:
                rejected = min(outcome.rejected, count)
                if outcome.maybe_delivered:
                    self.accounts.resent += count
                self.accounts.exported += count - rejected
                if rejected:
                    self.accounts.dropped["rejected"] += rejected
            else:
                self.accounts.dropped[outcome.reason] += count

    def restore(self, batches: Iterable[Batch[T]], *, maybe_delivered: bool = False) -> None:
        """Put what could not be delivered back in front, oldest first, unless the queue was closed meanwhile."""
        with self.accounts.lock:
            for batch in reversed(list(batches)):
                if self._closed and maybe_delivered:
                    # Closed while it was in flight: booked as unknown, and still unknown.
                    continue
                self._land(batch)
                if self._closed:
                    self.accounts.dropped["exit"] += len(batch.entries)
                    continue
                self._items.extendleft(reversed(batch.entries))
                self._bytes += batch.size()
                if maybe_delivered:
                    self.accounts.resent += len(batch.entries)
            self._trim_locked()

    def _land(self, batch: Batch[T]) -> None:
        if batch.epoch != self._epoch:
            self.accounts.unknown -= len(batch.entries)
            return
        size = batch.size()
        self._flying -= len(batch.entries)
        self._flying_bytes -= size
        self._bytes -= size

    def current(self, batch: Batch[T]) -> bool:
        """Whether ``batch`` is still waited for: neither given up nor cut off."""
        return batch.epoch == self._epoch

    def give_up(self) -> None:
        """Book what is in flight as unknown: nobody waits for its answer any more."""
        with self.accounts.lock:
            self._give_up_locked()

    def close(self) -> None:
        """Book the rest: what waits is dropped, what is in flight unknown. Later records are dropped and counted."""
        with self.accounts.lock:
            self._closed = True
            if self._items:
                self.accounts.dropped["exit"] += len(self._items)
                self._items.clear()
            self._give_up_locked()
            self._bytes = 0

    def _give_up_locked(self) -> None:
        self.accounts.unknown += self._flying
        self._bytes -= self._flying_bytes
        self._flying = self._flying_bytes = 0
        self._epoch += 1

    def shrink_batches(self, size: int) -> None:
        """Make smaller batches from now on: one of ``size`` estimated bytes was too large for the backend."""
        self.batch_bytes = max(64 * 1024, min(self.batch_bytes, size // 2))

    def _pending(self) -> tuple[int, int]:
        return len(self._items) + self._flying, max(0, self._bytes)
