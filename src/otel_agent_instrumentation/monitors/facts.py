# SPDX-License-Identifier: Apache-2.0
"""What the performance monitor keeps: numbers by tool, state and model. Bounded in all that an agent may invent."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from .histogram import Histogram, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .. import semconv
    from ..core.spec import Usage

Source = Literal["engine", "bus"]
"""Who told it: the instrumentation, or the agent by the bus."""
Outcome = Literal["ok", "error", "cancelled"]
MOST_NAMES = 100
"""Tools, states and models that have numbers of their own; what comes after them counts as `other`."""
OTHER = "other"
RECENT = 50
"""The last calls of a tool, by which it is judged."""
_LONGEST_NAME = 200
_MOST_PATHS = 4096
_TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning")

_T = TypeVar("_T", bound="Owned")


class Owned:
    """Numbers under one name, which one source tells: who did so first. The other's are the same again."""

    __slots__ = ("source",)

    def __init__(self) -> None:
        self.source: Source | None = None

    def taken(self, source: Source) -> bool:
        """Whether what ``source`` tells counts."""
        if self.source is None:
            self.source = source
        return self.source == source

    def told(self) -> dict[str, Any]:
        """As data: a copy."""
        raise NotImplementedError


class Tool(Owned):
    """One tool. ``inferred``: calls of which only an upper bound of the time is known; they enter no histogram."""

    __slots__ = ("calls", "cancelled", "durations", "errors", "inferred", "recent")

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.errors = self.cancelled = self.inferred = 0
        self.durations = Histogram()
        self.recent: deque[bool] = deque(maxlen=RECENT)
        """Of the last calls that were not cancelled: whether they failed."""

    def add(self, seconds: float | None, outcome: Outcome) -> None:
        """One call. ``seconds``: None where they are not known."""
        self.calls += 1
        if seconds is None:
            self.inferred += 1
        else:
            self.durations.add(seconds)
        if outcome == "cancelled":
            self.cancelled += 1
            return
        failed = outcome == "error"
        self.errors += failed
        self.recent.append(failed)

    def told(self) -> dict[str, Any]:
        """As data. Times in seconds."""
        return {
            "calls": self.calls,
            "errors": self.errors,
            "cancelled": self.cancelled,
            "error_rate": self.errors / self.calls if self.calls else 0.0,
            "inferred": self.inferred,
            "recent_calls": len(self.recent),
            "recent_errors": sum(self.recent),
            "seconds": self.durations.summary(),
        }


class State(Owned):
    """One cognitive state."""

    __slots__ = ("dwell", "entries")

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0
        self.dwell = Histogram()

    def told(self) -> dict[str, Any]:
        """As data. Times in seconds."""
        return {"entries": self.entries, "exits": self.dwell.count, "dwell_seconds": self.dwell.summary()}


class Model(Owned):
    """The requests to one model."""

    __slots__ = (
        "cancelled",
        "cost_usd",
        "errors",
        "first_chunk",
        "latency",
        "priced",
        "requests",
        "retries",
        "tokens",
        "without_usage",
    )

    def __init__(self) -> None:
        super().__init__()
        self.requests = self.errors = self.cancelled = self.retries = self.without_usage = self.priced = 0
        self.cost_usd = 0.0
        self.latency = Histogram()
        self.first_chunk = Histogram()
        self.tokens = dict.fromkeys(_TOKENS, 0)

    def add(self, seconds: float, outcome: Outcome) -> None:
        """One request, all of its retries."""
        self.requests += 1
        self.errors += outcome == "error"
        self.cancelled += outcome == "cancelled"
        self.latency.add(seconds)

    def used(self, usage: Usage | None) -> None:
        """What a request took, as the provider says; None: it does not."""
        if usage is None or (usage.input is None and usage.output is None):
            self.without_usage += 1
        if usage is not None:
            tokens = self.tokens
            tokens["input"] += usage.input or 0
            tokens["output"] += usage.output or 0
            tokens["cache_read"] += usage.cache_read or 0
            tokens["cache_write"] += usage.cache_write or 0
            tokens["reasoning"] += usage.reasoning or 0

    def told(self) -> dict[str, Any]:
        """As data. Times in seconds; tokens as contracts 7 counts them; the cost of what has a price."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "cancelled": self.cancelled,
            "retries": self.retries,
            "tokens": dict(self.tokens),
            "without_usage": self.without_usage,
            "cost_usd": self.cost_usd if self.priced else None,
            "seconds": self.latency.summary(),
            "first_chunk_seconds": self.first_chunk.summary(),
        }


def total(models: Iterable[Model]) -> dict[str, Any]:
    """All models as one."""
    every, found = list(models), Model()
    for one in every:
        for name in ("requests", "errors", "cancelled", "retries", "without_usage", "cost_usd", "priced"):
            setattr(found, name, getattr(found, name) + getattr(one, name))
        for kind in _TOKENS:
            found.tokens[kind] += one.tokens[kind]
    found.latency = merged(one.latency for one in every)
    found.first_chunk = merged(one.first_chunk for one in every)
    told = found.told()
    for times in ("seconds", "first_chunk_seconds"):
        del told[times]["last"]  # of which model?
    return told


class Names(Generic[_T]):
    """Numbers by name, the first 100 names and `other`."""

    __slots__ = ("_make", "known")

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self.known: dict[str, _T] = {}

    def of(self, name: str) -> tuple[str, _T]:
        """The numbers of ``name``, and the name that they stand under."""
        found = self.known.get(name)
        if found is not None:
            return name, found
        name = name[:_LONGEST_NAME]
        if name not in self.known and len(self.known) >= MOST_NAMES:
            name = OTHER
        return name, self.known.setdefault(name, self._make())

    def told(self) -> dict[str, dict[str, Any]]:
        """As data: a copy."""
        return {name: one.told() for name, one in self.known.items()}


class Facts:
    """All that was heard since the start or the last reset."""

    def __init__(self) -> None:
        self.began = time.time()
        self.began_clock = time.perf_counter_ns()
        """What began before is not counted."""
        self.tools = Names(Tool)
        self.states = Names(State)
        self.models = Names(Model)
        self.cycles = 0
        self.odd: Counter[str] = Counter(unmatched=0, doubled=0, malformed=0)
        """Events that do not fit: the end of what never began; what was told twice; what says nothing."""
        self._paths: dict[semconv.ArtifactChange, set[int]] = {"created": set(), "modified": set(), "deleted": set()}
        self._beyond: Counter[semconv.ArtifactChange] = Counter()

    def artifact(self, change: semconv.ArtifactChange, path: str | None) -> None:
        """A file was created, modified or deleted: counted once a path, of the first 4096 paths of each kind."""
        paths = self._paths[change]
        key = hash(path)
        if path is not None and (key in paths or len(paths) < _MOST_PATHS):
            paths.add(key)
        else:
            self._beyond[change] += 1

    def artifacts(self) -> dict[str, int]:
        """How many files, by what was done to them."""
        return {change: len(paths) + self._beyond[change] for change, paths in self._paths.items()}
