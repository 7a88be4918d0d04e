# SPDX-License-Identifier: Apache-2.0
"""What an agent said began, until it says that it ended. An event that is missing, or comes twice, costs itself."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from ..core.runs import home

_MOST_OPEN = 4096
_MOST_ENDED = 1024


@dataclass(slots=True, eq=False)
class Begun:
    """Something that goes on."""

    name: str
    clock: int
    """`perf_counter_ns` of its start."""
    stamp: float | None = None
    """The time of its start in ms, as the agent's own event says it."""
    home: tuple[int, int] = field(default_factory=home)
    stale: bool = False
    """It began before a reset: its end is no surprise, and counts nowhere."""


class Timers:
    """What goes on, of one kind.

    Known by its id where the agent gives one, else by its name: of several, the last that began in the same thread and
    task, else the first of all. Bounded; not safe between threads: its owner has a lock.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str | None, str], list[Begun]] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._count = 0

    def begin(self, call_id: str | None, begun: Begun) -> bool:
        """Note what begins; False where an event told it already."""
        key = (call_id, "" if call_id is not None else begun.name)
        if call_id is not None and (key in self._open or call_id in self._ended):
            return False
        self._open.setdefault(key, []).append(begun)
        self._count += 1
        while self._count > _MOST_OPEN:
            first = next(iter(self._open))
            self._pop(first, 0)
        return True

    def end(self, call_id: str | None, name: str) -> Begun | None:
        """Take what ends; None where nothing like it goes on."""
        key = (call_id, "" if call_id is not None else name)
        known = self._open.get(key)
        if not known:
            return None
        if call_id is not None:
            self._ended[call_id] = None
            if len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)
        here = home()
        own = (index for index in reversed(range(len(known))) if known[index].home == here)
        return self._pop(key, next(own, 0))

    def has_ended(self, call_id: str | None) -> bool:
        """Whether the end of this one was told, not long ago."""
        return call_id is not None and call_id in self._ended

    def active(self) -> Counter[str]:
        """How many go on, by name."""
        return Counter(one.name for known in self._open.values() for one in known if not one.stale)

    def reset(self) -> None:
        """What goes on began before; ids are new again."""
        self._ended.clear()
        for known in self._open.values():
            for one in known:
                one.stale = True

    def _pop(self, key: tuple[str | None, str], index: int) -> Begun:
        known = self._open[key]
        begun = known.pop(index)
        self._count -= 1
        if not known:
            del self._open[key]
        return begun
