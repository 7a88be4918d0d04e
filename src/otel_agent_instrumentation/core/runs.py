# SPDX-License-Identifier: Apache-2.0
"""What a run is, and where in which run the current thread or task is."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .context import attach
from .context import current as otel_current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

    from .. import semconv


@dataclass(slots=True, eq=False, repr=False)
class Run:
    """One run of an agent: explicit (`run()`) or implicit (an unchanged agent), see contracts 5."""

    id: str
    agent: str
    implicit: bool = False
    began_ns: int = field(default_factory=time.time_ns)
    pid: int = field(default_factory=os.getpid)
    cycle: int = 0
    """The cycle that is going on, the last one of those that go on at once; 0 before the first."""
    counted: bool = False
    """Whether the agent says itself where cycles begin (`cycle()`): then no tool result begins one."""
    pinned: int = 0
    """The cycle of the run of another process that this one is a part of: all of it belongs to that cycle."""
    stamp: dict[str, Any] = field(default_factory=dict[str, Any])
    """Attributes for every span, event and log below: user, session, tags, metadata. Never for metrics."""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    """The `tags` object of its ledger lines."""
    task: str | None = None
    context: Context | None = None
    """Holds the root span: calls that have no current span are parented to it."""
    ids: SpanContext | None = None
    """The root span's."""
    last_ns: int = 0
    """When its last call ended."""
    running: int = 0
    """Calls that have begun and not ended."""
    spent: float | None = None
    """US dollars, of its calls whose price is known."""
    ended: bool = False
    outcome: semconv.RunOutcome = "ok"
    stop_reason: str | None = None
    """Why it stopped, as the agent says."""
    last_reason: str | None = None
    """The finish reason of its last model call."""
    wants_more: bool = False
    """Whether its last model call asked for a tool."""
    ending: dict[object, Callable[[], Mapping[str, Any] | None]] = field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType]
    """What is to be done when the run ends, by a key of its owner's; what it returns goes on the run's span."""
    scratch: dict[str, Any] = field(default_factory=dict[str, Any])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin_cycle(self, *, after_tool_result: bool) -> tuple[int, bool]:
        """The cycle of a model call that begins now, and whether it is new: so after a tool result, or at first."""
        with self.lock:
            new = after_tool_result or self.cycle == 0
            if new:
                self.cycle += 1
            return self.cycle, new

    def next_cycle(self) -> tuple[int, bool]:
        """The cycle that begins because the agent says so, and whether it is new.

        The first one takes the number over that the model calls before it had, if that is 1: they led up to it.
        """
        with self.lock:
            new = self.counted or self.cycle != 1
            self.counted = True
            self.cycle += new
            return self.cycle, new


@dataclass(slots=True, eq=False)
class Place:
    """Where a thread or task is: in a run, and in the innermost block of the run API that it is in.

    Places are a list from the innermost outwards, whose ended members are skipped: blocks may end in any order, also
    in another thread or task than the one they began in, and nobody is ever in one that is over.
    """

    run: Run | None
    """None where nothing says which: no `run()`, and implicit runs are off."""
    cycle: int | None = None
    """The number of the `cycle()` block that it is in."""
    context: Context | None = None
    """OTel's, with the block's span; None where the block has none."""
    above: Place | None = None
    outer: Context | None = None
    """OTel's context as it was before the block."""
    home: tuple[int, int] = (0, 0)
    """The thread and task that went in."""
    ended: bool = False
    scratch: Any = None
    """The block's own."""


_current: ContextVar[Place | None] = ContextVar("otel_agent_run", default=None)
_inherited: Place | None = None
_elsewhere: OrderedDict[str, None] = OrderedDict()
_MOST_ELSEWHERE = 4096


def place() -> Place | None:
    """The innermost place of this thread or task that is still open, if any; else what the process inherited."""
    found = _current.get()
    while found is not None and (found.ended or (found.run is not None and found.run.ended)):
        found = found.above
    return _inherited if found is None else found


def current() -> Run | None:
    """The run of this thread or task that is still open, if any."""
    found = place()
    return None if found is None else found.run


def cycle_in(run: Run) -> int:
    """The cycle of ``run`` that this thread or task is in; 0 outside of any."""
    found = place()
    if found is not None and found.run is run and found.cycle is not None:
        return found.cycle
    return run.pinned or (0 if run.counted else run.cycle)


def raw() -> Place | None:
    """What was last put in place here, be it over or not."""
    return _current.get()


def put(found: Place | None) -> Any:
    """Make a place the current one of this thread or task, ended or not; returns the token for `reset_current`."""
    if _at_active is not None and found is not None and found.run is not None and not found.ended:
        active(found.run)
    return _current.set(found)


def go_in(new: Place) -> None:
    """Make ``new`` the place of this thread or task, and its context OTel's current one."""
    if _at_active is not None and new.run is not None:
        active(new.run)
    new.above = place()
    new.outer = otel_current()
    new.home = home()
    _current.set(new)
    if new.context is not None:
        attach(new.context)


def go_out(left: Place) -> None:
    """End a place, whichever order and context it is ended in: what is open around it is current again."""
    left.ended = True
    if _current.get() is left:
        _mend(left)


def mend() -> bool:
    """Leave a block that ended where it could not be taken off: a generator that another task, or nobody, closed.

    A thread or task that was started in a block and outlives it is left alone: the block is what it comes from.
    Whether OTel's context changed.
    """
    found = _current.get()
    return found is not None and found.ended and found.home == home() and _mend(found)


def _mend(left: Place) -> bool:
    outer, above = left.outer, left.above
    while above is not None and above.ended:
        outer, above = above.outer, above.above
    changed = left.context is not None and outer is not None and otel_current() is left.context
    if changed:
        attach(outer)
    _current.set(above if above is not _inherited else None)  # last: till then it can be done again
    return changed


def home() -> tuple[int, int]:
    """Thread and task that this is."""
    asyncio = sys.modules.get("asyncio")  # whoever has a task has imported it
    loop = asyncio.events._get_running_loop() if asyncio is not None else None  # noqa: SLF001
    return threading.get_ident(), 0 if asyncio is None or loop is None else id(asyncio.current_task(loop))


def set_current(run: Run | None) -> Any:
    """Make ``run`` current for this thread or task; returns the token that `reset_current` takes."""
    if _at_active is not None and run is not None:
        active(run)
    return _current.set(Place(run) if run is not None else None)


_at_active: Callable[[Run], bool] | None = None


def at_active(prepare: Callable[[Run], bool] | None) -> None:
    """Have ``prepare`` called with each run that becomes active, until it says that it has done its work."""
    global _at_active  # noqa: PLW0603 - one a process
    _at_active = prepare


def active(run: Run) -> None:
    """Say that ``run`` is active: what is installed for active runs only is installed now."""
    if _at_active is not None and _at_active(run):
        at_active(None)


def reset_current(token: Any) -> None:
    """Undo `set_current`. Harmless in another context than the one it was set in."""
    try:
        _current.reset(token)
    except ValueError:
        # A generator or coroutine was closed elsewhere; that context has its own value.
        return


def inherit(found: Place | None) -> None:
    """Say which run of another process this whole process is a part of."""
    global _inherited  # noqa: PLW0603 - one a process
    if _at_active is not None and found is not None and found.run is not None:
        active(found.run)
    _inherited = found


def inherited() -> Run | None:
    """The run of another process that this whole process is a part of, if any."""
    return None if _inherited is None else _inherited.run


def is_elsewhere(run: Run) -> bool:
    """Whether another process began the run: its own file is that one's."""
    return run.pid != os.getpid() or run.id in _elsewhere


def note_elsewhere(run_id: str) -> None:
    """Remember that another process began a run. The oldest is forgotten: a pool's worker sees many."""
    _elsewhere[run_id] = None
    while len(_elsewhere) > _MOST_ELSEWHERE:
        _elsewhere.popitem(last=False)


def after_fork_in_child() -> None:
    """The runs that are open here are the parent's."""
    found = _current.get()
    while found is not None:
        if found.run is not None:
            note_elsewhere(found.run.id)
        found = found.above


def new_id(now_ns: int | None = None) -> str:
    """A run id that sorts by time and is unique across machines: ``20261121T081500Z-1f3a9c42``."""
    seconds = (now_ns or time.time_ns()) // 1_000_000_000
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(seconds))}-{os.urandom(4).hex()}"
