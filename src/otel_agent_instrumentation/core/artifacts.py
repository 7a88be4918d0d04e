# SPDX-License-Identifier: Apache-2.0
"""The files that a run created, modified and deleted: a bounded set of paths, counted and told (P8)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from .. import semconv
from .context import current, ids_in
from .engine import engine
from .records import EventRecord

if TYPE_CHECKING:
    from .runs import Run

MOST_PATHS = 2000
"""Paths that are remembered of one run; what is done to others is only counted."""
MOST_EVENTS = 2000
_KEY = "artifacts"
_BITS: dict[semconv.ArtifactChange, int] = {"created": 1, "modified": 2, "deleted": 4}
_COUNTS: dict[semconv.ArtifactChange, str] = {
    "created": semconv.ARTIFACTS_CREATED,
    "modified": semconv.ARTIFACTS_MODIFIED,
    "deleted": semconv.ARTIFACTS_DELETED,
}
_CREATED, _DELETED = _BITS["created"], _BITS["deleted"]


class Artifacts:
    """What one run did to files."""

    __slots__ = ("_events", "_lock", "_paths", "_run", "_untracked")

    def __init__(self, run: Run) -> None:
        self._run = run
        # Reentrant: a finaliser of somebody's may close and remove a file while this thread notes another.
        self._lock = threading.RLock()
        self._paths: dict[str, tuple[int, int, int]] = {}
        """Path to: what was done to it, the cycle that it was told in, what was told in that cycle."""
        self._untracked = 0
        self._events = 0

    def changed(self, path: str, change: semconv.ArtifactChange, moved_from: str | None = None) -> None:
        """Note a change of the file ``path`` (as it may be told); told once a path, kind and cycle."""
        bit, cycle = _BITS[change], self._run.cycle
        with self._lock:
            done, told_in, told = self._paths.get(path, (0, cycle, 0))
            if path not in self._paths and len(self._paths) >= MOST_PATHS:
                self._untracked += 1
                return
            told = told if told_in == cycle else 0
            if change == "modified" and done & _CREATED and not done & _DELETED:
                # The run's own file: it stays one that was created, and that it was written to again is told once a
                # later cycle. What was created in this one is written to, as anybody expects.
                bit = 0 if told & _CREATED else bit
                self._paths[path] = (done, cycle, told | bit)
            else:
                self._paths[path] = (done | bit, cycle, told | bit)
            if not bit or told & bit or self._events >= MOST_EVENTS:
                return
            self._events += 1
        self._tell(path, change, moved_from)

    def moved(self, path: str, to: str, change: semconv.ArtifactChange) -> None:
        """Note that ``path`` became ``to``, which was thereby created or modified."""
        with self._lock:
            done, cycle, told = self._paths.get(path, (0, 0, 0))
            own = bool(done & _CREATED) and not done & _DELETED
            if own:  # a file on its way: it is counted where it arrives
                self._paths[path] = (done & ~_CREATED, cycle, told)
        if not own:
            self.changed(path, "deleted")
        self.changed(to, change, path)

    def _tell(self, path: str, change: semconv.ArtifactChange, moved_from: str | None) -> None:
        payload = {"path": path}
        if moved_from is not None:
            payload["moved_from"] = moved_from
        run, context = self._run, current()
        ids = ids_in(context) or run.ids
        trace_id, span_id = (ids.trace_id, ids.span_id) if ids is not None else (0, 0)
        event = EventRecord(
            semconv.EVENT_ARTIFACTS[change], time.time_ns(), payload, trace_id, span_id, run=run, cycle=run.cycle
        )
        engine.announce(event.name, run, lambda: event, context if ids_in(context) is not None else run.context)

    def counts(self) -> dict[str, Any]:
        """Return how many files were created, modified and deleted, for the run's span."""
        with self._lock:
            done = [done for done, _, _ in self._paths.values()]
            untracked = self._untracked
        found: dict[str, Any] = {
            name: sum(1 for item in done if item & _BITS[change]) for change, name in _COUNTS.items()
        }
        if untracked:
            found[semconv.ARTIFACTS_UNTRACKED] = untracked
        return found


def artifacts_of(run: Run) -> Artifacts:
    """The artifacts of ``run``; its span gets their counts."""
    known: Artifacts | None = run.scratch.get(_KEY)
    if known is not None:
        return known
    found: Artifacts = run.scratch.setdefault(_KEY, Artifacts(run))
    run.ending[_KEY] = found.counts
    return found
