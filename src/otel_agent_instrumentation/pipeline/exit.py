# SPDX-License-Identifier: Apache-2.0
"""The end of the process: all signals are flushed at the same time, within one budget, whatever the way out.

Ways out that are covered: the normal one and exceptions (atexit), SIGTERM where the agent has no handler of its own,
and the children of multiprocessing (and billiard), which end with `os._exit` and run no atexit function: they run
their `Finalize` callbacks. What must not be waited for runs on daemon threads that are abandoned at the deadline.
"""

from __future__ import annotations

import _thread
import atexit
import functools
import importlib
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ..core import contain
from .forks import reset_after_fork
from .sigterm import Sigterm

if TYPE_CHECKING:
    from collections.abc import Callable

# What is left of the budget when the flush is cut: the last callbacks (the line at exit) still fall within it.
_FLUSH_SHARE = 0.9
_FIRST_SHARE = 0.4
_LAST_SECONDS = 0.3
# Old ends of pools are joined before callbacks of this priority run, in the last pass of a child's exit.
_FINALIZE_PRIORITY = -100

Stage = Literal["first", "flush", "last"]


class Flushable(Protocol):
    """What the coordinator drives: a lane, a metric exporter."""

    def begin_exit(self, deadline: float) -> None:
        """Start to deliver what can be delivered by ``deadline``; return at once."""
        ...

    def finish_exit(self, deadline: float) -> bool:
        """Wait for that until ``deadline``, then close; whether everything was delivered. May be called twice."""
        ...

    def flush(self, timeout: float) -> bool:
        """Deliver what is queued within ``timeout`` seconds, and go on."""
        ...


class _Call(NamedTuple):
    name: str
    function: Callable[[float], object]
    stage: Stage
    flush: Callable[[float], object] | None


class Job:
    """A call on a thread of its own that can be abandoned.

    Raw threads and locks: `threading.Thread.start` takes a lock that the interrupted main thread may hold when a
    signal handler gets here.
    """

    __slots__ = ("_call", "_done", "_name")

    def __init__(self, name: str, call: Callable[[], object]) -> None:
        self._name = name
        self._call = call
        self._done = _thread.allocate_lock()
        self._done.acquire()
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:
            # An ending interpreter of 3.12 starts no thread: the call must keep the time that it is given by itself.
            self._run()

    def _run(self) -> None:
        try:
            contain.call(f"exit.{self._name}", self._call)
        finally:
            self._done.release()

    def wait(self, deadline: float) -> bool:
        """Wait until ``deadline`` (`time.monotonic` seconds); returns whether the call ended."""
        return self._done.acquire(timeout=max(0.0, deadline - time.monotonic()))


class ExitCoordinator:
    """Ends all signals of a process once, within ``budget`` seconds."""

    def __init__(self, budget: float = 2.0) -> None:
        self._budget = budget
        self._flushables: list[Flushable] = []
        self._calls: list[_Call] = []
        self._armed = False
        self._finalizing = False
        self._sigterm = Sigterm(self._on_sigterm, self._on_chained_sigterm)
        self.reset_in_child()
        reset_after_fork(self)

    def reset_in_child(self) -> None:
        """A forked child has its own end, however far its parent's is."""
        self._claim = _thread.allocate_lock()
        self._runner = 0
        self._die_later = False
        self._deadline: float | None = None
        if self._armed:
            self._finalize_in_child()

    # What start-up calls --------------------------------------------------------------------------------------------

    def register(self, flushable: Flushable) -> None:
        """Flush and close ``flushable`` at exit."""
        self._flushables.append(flushable)

    def register_call(
        self,
        name: str,
        function: Callable[[float], object],
        *,
        stage: Stage = "flush",
        flush: Callable[[float], object] | None = None,
    ) -> None:
        """Call ``function(seconds left)`` at exit, on a thread that is abandoned when they are over.

        Stages: ``first`` one after another before anything is flushed (ends open runs and spans), ``flush`` all at
        once beside the queues (a meter provider's shutdown), ``last`` one after another at the very end (the line at
        exit, the ledger's close). ``flush`` is what `flush` calls.
        """
        self._calls.append(_Call(name, function, stage, flush))

    def arm(self, *, sigterm: bool = True) -> None:
        """Make the process end through here. Only the main thread can install the SIGTERM handler; others skip it."""
        if not self._armed:
            self._armed = True
            atexit.register(self.run)
        if sigterm:
            self._sigterm.install()

    def disarm(self) -> None:
        """Take everything back."""
        self._armed = False
        atexit.unregister(self.run)
        self._sigterm.remove()

    # What ends the process ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Flush, within the budget, and close. Once: a second caller waits for what the first one began."""
        first = self._claim.acquire(blocking=False)
        now = time.monotonic()
        if not first:
            self._finish(self._deadline or now)
            return
        self._runner = _thread.get_ident()
        deadline = self._deadline = now + self._budget * _FLUSH_SHARE
        self._run_in_turn("first", now + self._budget * _FIRST_SHARE)
        for flushable in self._flushables:
            contain.call("exit.begin", flushable.begin_exit, deadline)
        jobs = [
            Job(call.name, functools.partial(call.function, max(0.0, deadline - time.monotonic())))
            for call in self._calls
            if call.stage == "flush"
        ]
        self._finish(deadline, jobs)
        self._run_in_turn("last", now + self._budget + _LAST_SECONDS)
        self._runner = 0
        if self._die_later:
            self._sigterm.die()

    def flush(self, timeout: float) -> bool:
        """Deliver what is queued in all signals at once, within ``timeout`` seconds, and go on; whether all ended."""
        deadline = time.monotonic() + timeout
        results: list[bool] = []

        def one(flushable: Flushable) -> None:
            results.append(flushable.flush(timeout))

        jobs = [Job("flush", functools.partial(one, flushable)) for flushable in self._flushables]
        jobs += [Job(call.name, functools.partial(call.flush, timeout)) for call in self._calls if call.flush]
        ended = [job.wait(deadline) for job in jobs]
        return all(ended) and all(results)

    def _finish(self, deadline: float, jobs: list[Job] | None = None) -> None:
        for job in jobs or ():
            job.wait(deadline)
        for flushable in self._flushables:
            contain.call("exit.finish", flushable.finish_exit, deadline)

    def _run_in_turn(self, stage: Stage, deadline: float) -> None:
        for call in self._calls:
            if call.stage == stage:
                left = max(0.0, deadline - time.monotonic())
                Job(call.name, functools.partial(call.function, left)).wait(deadline)

    # SIGTERM --------------------------------------------------------------------------------------------------------

    def _on_sigterm(self) -> bool:
        if self._runner == _thread.get_ident():
            # The signal interrupted `run` itself, as a pool's parent does that stops its workers twice.
            self._die_later = True
            return False
        # Not on this thread: it may have been interrupted with a lock in hand that the flush needs.
        Job("sigterm", self.run).wait(time.monotonic() + self._budget + _LAST_SECONDS)
        return True

    def _on_chained_sigterm(self) -> None:
        Job("sigterm", functools.partial(self.flush, self._budget)).wait(time.monotonic() + self._budget)

    # Children that end with os._exit --------------------------------------------------------------------------------

    def _finalize_in_child(self) -> None:
        """Have the child's exit run us: its finalisers are cleared after the fork hooks, hence the second hook."""
        util: Any = sys.modules.get("multiprocessing.util")
        if util is None and "billiard" in sys.modules:
            # Celery's fork of multiprocessing uses the same registries, but imports them in the child only.
            util = importlib.import_module("multiprocessing.util")
        # The registry is inherited: once in a line of descent is enough.
        if util is not None and not self._finalizing:
            self._finalizing = True
            contain.call("exit.child", util.register_after_fork, self, functools.partial(_add_finalizer, util))


def _add_finalizer(util: Any, coordinator: ExitCoordinator) -> None:
    util.Finalize(None, coordinator.run, exitpriority=_FINALIZE_PRIORITY)
