# SPDX-License-Identifier: Apache-2.0
"""The one worker behind a queue: it sends batches, waits after trouble, splits what is too large, and ends in time.

The worker is a daemon thread that starts with the first record. It makes one attempt at a time; what failed for a time
goes back to the front of the queue, and the pause doubles up to half a minute. An attempt that hangs far beyond its
time (name resolution, a backend that answers a byte a second) is given up: a new worker takes over with new
connections, and the batch counts as unknown until the old attempt tells.
"""

from __future__ import annotations

import contextlib
import contextvars
import random
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..core import contain
from . import trouble
from .duty import delivering, on_duty
from .forks import reset_after_fork
from .order import Order
from .outcome import FAULT, Outcome, Target, Verdict
from .queue import Batch, BoundedQueue, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_LONGEST_RETRY_AFTER = 300.0
# When somebody waits (a flush, the exit): a short outage is bridged, a dead backend is left quickly.
_HURRIED_PAUSES = (0.1, 0.3)
# Beyond its timeout an attempt gets this long before it counts as hung.
_GRACE = 5.0
_MOST_HUNG = 3
_NEVER = float("inf")

_REPLACED = Outcome(Verdict.RETRY, "replaced")


class Lane(Generic[T]):
    """A queue, its worker and its backend. ``put`` is for producers; the other methods for whoever ends or flushes."""

    def __init__(self, signal: str, target: Target[T], limits: Limits) -> None:
        self.signal = signal
        self.queue: BoundedQueue[T] = BoundedQueue(signal, target.name, limits)
        self._target = target
        self._limits = limits
        self._hung: list[threading.Thread] = []
        self._closed = False
        self._inherited = False
        self._start_over()
        reset_after_fork(self)

    def _start_over(self) -> None:
        self._wake: SimpleQueue[Order | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        self._pressed = False
        self._failures = 0
        self._resume_at = 0.0
        self._hung_at: float | None = None
        self._exit: Order | None = None

    def reset_in_child(self) -> None:
        """Begin anew in a forked child: nothing queued, no thread, no connection of the parent's."""
        self.queue.reset()
        if self._closed:
            self.queue.close()
        self._hung = []
        self._inherited = True
        self._start_over()
        self._target.renew()

    # What producers do ----------------------------------------------------------------------------------------------

    def put(self, record: T, size: int) -> None:
        """Queue ``record``. Takes no lock that anybody holds for long, starts the worker at the first record."""
        full = self.queue.put(record, size)
        if self._worker is None:
            self._start_worker()
        if full and not self._pressed:
            self._pressed = True
            self._wake.put(None)
        if self._hung_at is not None and time.monotonic() > self._hung_at:
            self._replace_worker()

    def _start_worker(self) -> bool:
        if self._closed or self._exit is not None or not self._starting.acquire(blocking=False):
            return False
        try:
            if self._worker is None:
                # An empty context: a thread must not keep the span alive in which it happened to be started.
                run = contextvars.Context().run
                worker = threading.Thread(
                    target=run, args=(self._work, self._wake), name=f"otel-agent-{self.signal}", daemon=True
                )
                worker.start()
                self._worker = worker
        except RuntimeError:
            # No more threads, or the interpreter is ending (from 3.12 on): the exit delivers on its own thread.
            return False
        finally:
            self._starting.release()
        return True

    def _replace_worker(self) -> None:
        self._hung = [thread for thread in self._hung if thread.is_alive()]
        if len(self._hung) >= _MOST_HUNG or self._worker is None or not self._starting.acquire(blocking=False):
            return
        try:
            self._hung_at = None
            self._hung.append(self._worker)
            self._worker = None
            # The old worker keeps its own wake queue, finds another in its place, and ends.
            old, self._wake = self._wake, SimpleQueue()
            with contextlib.suppress(Empty):
                while True:
                    self._wake.put(old.get_nowait())
            self._pressed = False
            self.queue.give_up()
            self._target.renew()
        finally:
            self._starting.release()
        self._start_worker()

    # What flushes and ends ------------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> bool:
        """Deliver what is queued now, within ``timeout`` seconds; returns whether all of it was delivered."""
        if delivering():
            return False
        order = self._order(Order(time.monotonic() + timeout))
        return order.wait(order.deadline) if order else True

    def begin_exit(self, deadline: float) -> None:
        """Tell the worker to deliver what it can by ``deadline``. Returns at once."""
        if self._exit is None and not self._closed:
            self._exit = self._order(Order(deadline, final=True))

    def finish_exit(self, deadline: float) -> bool:
        """Wait for that until ``deadline``, then close the books; returns whether everything was delivered."""
        delivered = self._exit.wait(deadline) if self._exit else True
        before, self._closed = self._closed, True
        self.queue.close()
        # An exporter that this process never used may hold what is a parent process's: its files, its connections.
        if self._exit is None and not before and not self._inherited:
            contain.call("pipeline.close", self._target.close)
        return delivered

    def shutdown(self, timeout: float) -> bool:
        """Deliver, then close, within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        self.begin_exit(deadline)
        return self.finish_exit(deadline)

    def _order(self, order: Order) -> Order | None:
        if self._closed or (self._worker is None and not len(self.queue)):
            return None
        if self._worker is not None or self._start_worker():
            self._wake.put(order)
        else:
            with on_duty():
                self._serve(order)
        return order

    # What the worker does -------------------------------------------------------------------------------------------

    def _work(self, wake: SimpleQueue[Order | None]) -> None:
        order: Order | None = None
        try:
            with on_duty():
                while wake is self._wake and not self._closed and not (order and order.final):
                    order = self._next_order(wake)
                    contain.call("pipeline.worker", self._serve, order)
        finally:
            # Also after a SystemExit out of an exporter: the next record starts a new worker.
            if wake is self._wake:
                self._worker = None
                if self._closed and not (order and order.final):
                    # Cut off at the end: nobody else closes what it held.
                    contain.call("pipeline.close", self._target.close)

    def _next_order(self, wake: SimpleQueue[Order | None]) -> Order | None:
        tick = time.monotonic() + self._limits.delay
        while True:
            due = max(tick, self._resume_at)
            try:
                order = wake.get(timeout=max(0.0, due - time.monotonic()))
            except Empty:
                return None
            if order is not None or self._closed or time.monotonic() >= self._resume_at:
                return order
            tick = 0.0

    def _serve(self, order: Order | None) -> None:
        if order is None:
            if not self._closed:
                self._drain(_NEVER)
            return
        delivered = False
        try:
            delivered = self._drain_in_a_hurry(order.deadline)
            if order.final:
                contain.call("pipeline.close", self._target.close)
        finally:
            order.finish(delivered=delivered)

    def _drain_in_a_hurry(self, deadline: float) -> bool:
        for pause in (*_HURRIED_PAUSES, None):
            outcome = self._drain(deadline)
            if outcome is None:
                return True
            wait = max(pause or 0.0, outcome.retry_after or 0.0)
            if pause is None or outcome is _REPLACED or time.monotonic() + wait >= deadline:
                break
            time.sleep(wait)
        return False

    def _drain(self, deadline: float) -> Outcome | None:
        """Send what is queued now; returns the outcome that stopped it, or None."""
        self._pressed = False
        self.queue.recount()
        goal = len(self.queue)
        while goal > 0:
            batch = self.queue.take()
            if batch is None:
                break
            goal -= len(batch.entries)
            stopped = self._send(batch, deadline)
            if stopped is not None:
                return stopped
        trouble.tell_overflow(self.queue.accounts)
        return None

    def _send(self, batch: Batch[T], deadline: float) -> Outcome | None:
        parts = [batch]
        while parts:
            part = parts.pop()
            outcome = self._attempt(part, deadline)
            current = self.queue.current(part)
            split = outcome.verdict is Verdict.SPLIT and len(part.entries) > 1
            if outcome.verdict is Verdict.RETRY or not current:
                # Given up while it hung: what it says still counts, but the rest is another worker's now.
                self.queue.restore(reversed(parts))
                if outcome.verdict is Verdict.RETRY or split:
                    self.queue.restore([part], maybe_delivered=outcome.maybe_delivered)
                else:
                    self.queue.settle(part, outcome)
                if not current:
                    return _REPLACED
                self._back_off(outcome)
                return outcome
            if split:
                if outcome.reason == "too_large":
                    self.queue.shrink_batches(part.size())
                parts.extend(reversed(part.halves()))
                continue
            self.queue.settle(part, outcome)
            if outcome.verdict is Verdict.DELIVERED:
                self._failures = 0
        return None

    def _attempt(self, batch: Batch[T], deadline: float) -> Outcome:
        now = time.monotonic()
        if now >= deadline:
            return Outcome(Verdict.RETRY, "deadline")
        # On a thread of its own an attempt takes its time: who waits leaves at the deadline, and the batch is unknown.
        timeout = self._limits.attempt if self._worker else min(self._limits.attempt, deadline - now)
        wake = self._wake
        # Another thread may take over only with connections of its own; `export` is never called by two at a time.
        self._hung_at = now + timeout + _GRACE if self._target.renewable else None
        attempt: Callable[..., Any] = self._target.attempt
        outcome = contain.call("pipeline.attempt", attempt, batch.records(), timeout, default=FAULT) or FAULT
        if wake is self._wake:
            self._hung_at = None
        if outcome.verdict is not Verdict.DELIVERED and not (
            outcome.verdict is Verdict.SPLIT and len(batch.entries) > 1
        ):
            self.queue.accounts.note(outcome.reason)
            trouble.tell(self.signal, self._target.name, outcome)
        elif outcome.rejected:
            trouble.tell_lost(self.signal, self._target.name, "rejected")
        return outcome

    def _back_off(self, outcome: Outcome) -> None:
        self._failures += 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures - 1, 10))
        pause *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads processes out, hides nothing
        if outcome.retry_after is not None:
            pause = min(_LONGEST_RETRY_AFTER, outcome.retry_after)
        self._resume_at = time.monotonic() + pause
        trouble.tell_overflow(self.queue.accounts)
