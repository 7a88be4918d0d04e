# SPDX-License-Identifier: Apache-2.0
"""Where all that is heard comes together: counted under one lock; what is worth a warning is told outside of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from ..core.engine import engine
from .facts import OTHER, Facts
from .limits import Alert, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.runs import Run
    from ..core.spec import Usage
    from .facts import Outcome, Owned, Source
    from .limits import Found, Rule

_MOST_RUNS = 1024
_MOST_ALERTS = 50
_AGAIN = 60.0
"""Seconds until the same warning about the same is told again."""


def _nothing() -> None:
    """Nothing is noted."""


class Keeper:
    """The monitor's memory. ``tell`` is given each alert, outside of the lock."""

    def __init__(self, tell: Callable[[Alert], object]) -> None:
        # Reentrant: a finaliser that runs amid this may end another call.
        self.lock = threading.RLock()
        self.facts = Facts()
        self.limits = Limits()
        self.alerts: deque[Alert] = deque(maxlen=_MOST_ALERTS)
        self.at_reset: list[Callable[[], object]] = []
        self.flush: Callable[[], object] = _nothing
        """Counts the calls that are noted and not counted: see `Observed`."""
        self._tell = tell
        self._cycles: OrderedDict[str, int] = OrderedDict()
        """The last cycle of each run that was counted: it outlives a reset, or the cycle would count again."""
        self._told: dict[tuple[str, str], float] = {}

    def reset(self) -> None:
        """Begin anew."""
        self.settle()  # what ended before belongs to before, with the cycle that it was in
        self._anew()

    def _anew(self) -> None:
        with self.lock:
            self.facts = Facts()
            self.alerts.clear()
            self._told.clear()
            for also in self.at_reset:
                also()

    def in_child(self) -> None:
        """In a forked child, which has done nothing yet."""
        self.lock = threading.RLock()
        self._anew()  # what is noted is the parent's: it began before

    def settle(self) -> None:
        """Have all counted that ended. Not with the lock held: who tells an end waits for it."""
        engine.drain()
        self.flush()

    # --- what is heard ------------------------------------------------------------------------------------------------

    def odd(self, kind: str) -> None:
        """Count an event that does not fit."""
        with self.lock:
            self.facts.odd[kind] += 1

    def tool(self, source: Source, name: str, seconds: float | None, outcome: Outcome) -> None:
        """A tool was called. ``seconds``: None where only the model's question and the answer to it were seen."""
        with self.lock:
            found = self.add_tool(source, name, seconds, outcome)
        if found is not None:
            self.warn(found)

    def add_tool(self, source: Source, name: str, seconds: float | None, outcome: Outcome) -> Found:
        """Count a tool's call, with the lock held; what is worth a warning."""
        name, one = self.facts.tools.of(name)
        if not self._counts(one, name, source):
            return None
        before = (one.durations.count, one.durations.sum)
        one.add(seconds, outcome)
        found: Found = None
        if seconds is not None and outcome != "cancelled":
            found = self.limits.slow("slow_tool", name, seconds, self.limits.tool_seconds, before)
        if outcome == "error" and found is None:
            found = self.limits.failing(name, one.recent)
        return found

    def model(  # noqa: PLR0913, PLR0917 - the facts of one request
        self,
        source: Source,
        name: str,
        seconds: float,
        outcome: Outcome,
        usage: Usage | None = None,
        cost_usd: float | None = None,
    ) -> None:
        """A model was asked."""
        with self.lock:
            found = self.add_model(source, name, seconds, outcome, usage, cost_usd=cost_usd)
        if found is not None:
            self.warn(found)

    def add_model(  # noqa: PLR0913, PLR0917 - the facts of one request
        self,
        source: Source,
        name: str,
        seconds: float,
        outcome: Outcome,
        usage: Usage | None = None,
        own: bool = True,  # noqa: FBT001, FBT002 - positional, as it is paid for with each call
        first_chunk: float | None = None,
        retries: int = 0,
        cost_usd: float | None = None,
    ) -> Found:
        """Count a request, with the lock held; what is worth a warning. ``own``: whether its usage is its to tell."""
        name, one = self.facts.models.of(name)
        if not self._counts(one, name, source):
            return None
        before = (one.latency.count, one.latency.sum)
        one.add(seconds, outcome)
        one.retries += retries
        if first_chunk is not None:
            one.first_chunk.add(first_chunk)
        if own and (usage is not None or outcome == "ok"):
            one.used(usage)
        if cost_usd is not None:
            one.cost_usd += cost_usd
            one.priced += 1
        if outcome == "cancelled":
            return None
        return self.limits.slow("slow_model", name, seconds, self.limits.model_seconds, before)

    def entered(self, source: Source, state: str) -> None:
        """A state was entered."""
        with self.lock:
            name, one = self.facts.states.of(state)
            if self._counts(one, name, source):
                one.entries += 1

    def left(self, source: Source, state: str, seconds: float) -> None:
        """A state was left that was entered since the last reset."""
        with self.lock:
            name, one = self.facts.states.of(state)
            if self._counts(one, name, source):
                one.dwell.add(seconds)

    def cycle(self, run: Run, number: int) -> None:
        """Something was done in this cycle of this run."""
        if run.id not in self._cycles:
            self.flush()  # what was done in those before it
        self.add_cycle(run, number)

    def add_cycle(self, run: Run, number: int) -> None:
        """The same, where those before it are counted."""
        known = self._cycles.get(run.id)
        if known is not None and number <= known:
            return
        with self.lock:
            # Of a run that was there before, what went before is not known.
            known = self._cycles.get(run.id, 0 if run.began_ns / 1e9 >= self.facts.began else number - 1)
            self.facts.cycles += max(0, number - known)
            self._cycles[run.id] = max(number, known)
            if len(self._cycles) > _MOST_RUNS:
                self._cycles.popitem(last=False)

    def _counts(self, one: Owned, name: str, source: Source) -> bool:
        if name == OTHER or one.taken(source):
            return True
        self.facts.odd["doubled"] += 1
        return False

    # --- warnings -----------------------------------------------------------------------------------------------------

    def warn(self, found: tuple[Rule, str, float, float]) -> None:
        """Tell an alert, unless the same was told a moment ago."""
        rule, name, value, limit = found
        now = time.monotonic()
        with self.lock:
            last = self._told.get((rule, name))
            if last is not None and now - last < _AGAIN:
                return
            self._told[rule, name] = now
            alert = Alert(rule, name, value, limit, time.time())
            self.alerts.append(alert)
        self._tell(alert)
