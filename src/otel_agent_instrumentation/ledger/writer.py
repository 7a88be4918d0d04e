# SPDX-License-Identifier: Apache-2.0
"""The ledger's one writer: a thread of its own that makes lines of what waits, writes them and hands them on.

Who tells an event appends it to the buffer and goes on. A fault costs one line; what is lost is counted, by reason, and
leaves a gap in `seq`. Nothing raises.
"""

from __future__ import annotations

import contextvars
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from ..core import runs
from ..core.contain import Contained, record_fault, warn_once
from ..core.suppress import silence
from ..envelope import line as envelope
from .buffer import MIB, Buffer, Limits, Marker
from .chain import BEFORE, chained
from .files import MOST_OPEN, Files
from .lines import Event, Numbered, weight

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..core.runs import Run
    from ..envelope.line import Line
    from .buffer import Entry
    from .keeping import Rules

    Sink = Callable[[Line, bytes], object]

_MAKE = Contained("ledger.event")
_LINE = Contained("ledger.line")
_WRITE = Contained("ledger.write")
_SINK = Contained("ledger.sink")
_UNWRITTEN = "write_failed"
_CHUNK_EVENTS = 256
_CHUNK_BYTES = MIB
_PATIENCE = 2.0
_LONGEST_WAIT = 1.0


class Writer:
    """The ledger files of this process. Threads may share it; a forked child starts with files of its own."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the settings say
        self,
        folder: str,
        shared: str | None,
        resource: dict[str, Any] | Callable[[], dict[str, Any]],
        agent: str,
        limits: Limits | None = None,
        rules: Rules | None = None,
        *,
        chain: bool = False,
    ) -> None:
        self._files = Files(folder, shared, rules)
        self._resource = cache(resource if callable(resource) else lambda: resource)
        self._agent = agent
        self._chain = chain
        self._limits = limits or Limits()
        self._buffer = Buffer(self._limits, self._start)
        self.put: Callable[[Entry], bool] = self._buffer.put
        """Tell what an event will be made of; whether there was room for it."""
        self.sinks: list[Sink] = []
        """Each takes every line after it is written, on the writer's thread; never waits."""
        self._begin()

    def _begin(self) -> None:
        # Events outside any run belong to a run id of the process itself.
        self._own = runs.Run(runs.new_id(time.time_ns()), self._agent)
        self._numbered = Numbered(self._resource)
        self._skipped = 0
        self._told = False
        self._digests: dict[Path, str] = {}
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._writing = threading.Lock()
        self.written: dict[str, int] = {}
        """Lines by file, without those that say whose the file is."""
        self.last: Run | None = None
        """The run of the last line: what is said about the process's end goes there."""

    def reset_in_child(self) -> None:
        """After a fork: the parent's files, lines and counts stay the parent's."""
        self._buffer.reset()
        self._files.reset_in_child()
        self._begin()

    # For anybody ----------------------------------------------------------------------------------------------------

    def write(self, event: Event) -> bool:
        """Tell an event that is made and redacted already; whether there was room for it."""
        return self.put(_Ready(event))

    def put_and_wait(self, entry: Entry) -> bool:
        """Tell an event and wait until it is written, at most a second."""
        return self.put(entry) and self.flush(_LONGEST_WAIT)

    @property
    def dropped(self) -> int:
        """How many events were lost so far."""
        return sum(self._buffer.lost().values())

    def lost(self) -> dict[str, int]:
        """The losses so far, by reason."""
        return self._buffer.lost()

    def flush(self, timeout: float) -> bool:
        """Wait until what has been told so far is written, at most ``timeout`` seconds; whether it is."""
        if threading.get_ident() == self._buffer.writer:
            return False  # a sink, or a processor of logs
        if not self._buffer.items and self._writing.acquire(blocking=False):
            self._writing.release()
            return True
        return self._buffer.marker().acquire(timeout=max(0.0, timeout))

    def close(self, timeout: float = _PATIENCE) -> None:
        """Write what waits, within ``timeout`` seconds, and close the files. The next event opens them again."""
        self.flush(timeout)
        self._thread = None
        self._buffer.retire()
        if self._writing.acquire(timeout=max(0.0, timeout)):
            try:
                while self._buffer.items:  # told meanwhile
                    self._chunk()
                with _WRITE:
                    self._files.close()
                    self._files.keeper.wait(timeout)
            finally:
                self._writing.release()

    # The thread -----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is not None or not self._starting.acquire(blocking=False):
            return
        try:
            self._begin_thread()
        finally:
            self._starting.release()
        if self._thread is None:
            self._drain()
            self._buffer.sleep()

    def _begin_thread(self) -> None:
        # An empty context: a thread must not keep the span alive in which it happened to be started.
        run = contextvars.Context().run
        thread = threading.Thread(target=run, args=(self._run,), name="otel-agent-ledger", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No more threads, or the interpreter is ending (from 3.12 on): whoever tells an event writes it.
            self._thread = None

    def _run(self) -> None:
        me = threading.current_thread()
        silence()
        try:
            while self._thread is me:
                self._buffer.writer = threading.get_ident()
                self._buffer.wait()
                self._drain()
        finally:
            # Also after a SystemExit out of somebody's sink: the next event starts a new thread.
            if self._thread is me:
                self._thread = None
                self._buffer.sleep()

    def _drain(self) -> None:
        with self._writing:
            while self._buffer.items:
                self._chunk()

    def _chunk(self) -> None:
        """Write some of what waits: bounded, so that the lines of it do not fill the memory."""
        chunk = _Chunk()
        items, size = self._buffer.items, 0
        self._skip()
        try:
            while items and chunk.has_room() and size < _CHUNK_BYTES:
                entry = items.popleft()
                size += entry.weight
                if type(entry) is Marker:
                    chunk.waiting.append(entry.lock)
                else:
                    self._make(entry, chunk)
            for path, lines in chunk.batches.items():
                if lines:
                    self._append(path, lines, int(path in chunk.begun))
            self._hand_on(chunk.told)
        finally:
            self._buffer.done(size)
            for lock in chunk.waiting:
                lock.release()

    def _skip(self) -> None:
        """Leave out the numbers of what was lost before it had one."""
        lost = sum(count for reason, count in self._buffer.lost().items() if reason != _UNWRITTEN)
        self._numbered.skip(lost - self._skipped)
        self._skipped = lost

    def _make(self, entry: Entry, chunk: _Chunk) -> None:
        event, made = None, False
        with _MAKE:
            event = entry.event()
            made = True
        if event is None:
            if not made:
                self._buffer.lose("fault")
            return
        with _LINE:
            self._add(event, chunk)
            return
        self._buffer.lose(_UNWRITTEN)  # it has its number

    def _add(self, event: Event, chunk: _Chunk) -> None:
        run = event.run or self._own
        path = self._files.path(run) if event.file else None
        if path is not None and path not in chunk.batches:
            chunk.batches[path] = self._ready(path, run, event.time_ns, chunk)
        if not self._told and self.sinks:  # no file says it
            self._origin(run, event.time_ns, None, chunk)
        data = self._line(event, run, path, chunk)
        lines = chunk.batches[path] if path is not None else None
        if lines is not None:
            self.last = run
            lines.append(data)
        elif path is not None:
            self._buffer.lose(_UNWRITTEN)

    def _ready(self, path: Path, run: Run, time_ns: int, chunk: _Chunk) -> list[bytes] | None:
        """The lines that a file begins with; None where it cannot be opened."""
        try:
            if self._files.ready(path):
                chunk.begun.add(path)
                self._digests.pop(path, None)
                return [self._origin(run, time_ns, path, chunk)]
            if self._files.is_full(path):
                self._files.rotate(path, lambda: self._origin(run, time_ns, path, chunk))
        except OSError as error:
            self._say(path, error)
            return None
        return []

    def _origin(self, run: Run, time_ns: int, path: Path | None, chunk: _Chunk) -> bytes:
        self._told = True
        event = self._numbered.origin(time_ns)
        if path is not None and path in self._digests:
            event.payload[BEFORE] = self._digests[path]
        return self._line(event, run, path, chunk)

    def _line(self, event: Event, run: Run, path: Path | None, chunk: _Chunk) -> bytes:
        line = self._numbered.line(event, run)
        data = envelope.encode(line)
        if self._chain and path is not None:
            data, self._digests[path] = chained(data, self._digests.get(path, ""))
        chunk.told.append((line, data))
        return data

    def _append(self, path: Path, lines: list[bytes], begun: int) -> None:
        count = [0]
        with _WRITE:
            try:
                self._files.append(path, lines, count)
                if self._limits.sync:
                    self._files.sync(path)
            except OSError as error:
                self._say(path, error)
                self._break(path)
        self._buffer.lose(_UNWRITTEN, len(lines) - count[0])
        if count[0] > begun:
            self.written[str(path)] = self.written.get(str(path), 0) + count[0] - begun

    def _break(self, path: Path) -> None:
        """What was to be in a file is not: it is opened anew, and its chain, if there is one, begun again."""
        self._files.forget(path, disown=self._chain)
        self._digests.pop(path, None)

    def _say(self, path: Path, error: OSError) -> None:
        record_fault("ledger.file", error, told=True)
        warn_once(
            f"ledger:{path.parent}",
            "otel-agent: the ledger file %s cannot be written (%s): events are lost and counted, the agent goes on. "
            "Make room or the folder writable, name another by OTEL_AGENT_LEDGER_DIR, or set OTEL_AGENT_LEDGER=false.",
            path,
            error.strerror or type(error).__name__,
        )

    def _hand_on(self, told: list[tuple[Line, bytes]]) -> None:
        for sink in self.sinks:
            for line, data in told:
                with _SINK:
                    sink(line, data)


class _Chunk:
    """Lines on their way: by file (None where it cannot be opened), all of them, and who waits for them."""

    __slots__ = ("batches", "begun", "told", "waiting")

    def __init__(self) -> None:
        self.batches: dict[Path, list[bytes] | None] = {}
        self.begun: set[Path] = set()
        """Those whose first line is among them: it says whose the file is, and is no event."""
        self.told: list[tuple[Line, bytes]] = []
        self.waiting: list[threading.Lock] = []

    def has_room(self) -> bool:
        """Whether one more event is to come: all its files are open at a time."""
        return len(self.told) < _CHUNK_EVENTS and len(self.batches) < MOST_OPEN


class _Ready:
    """An event that is made and redacted already."""

    __slots__ = ("_event", "weight")

    def __init__(self, event: Event) -> None:
        self._event = event
        self.weight = weight(event.payload)

    def event(self) -> Event:
        return self._event


def resource_attributes(resource: Any) -> dict[str, Any]:
    """A resource's attributes as a payload's object."""
    return {str(key): msgspec.to_builtins(value) for key, value in dict(resource.attributes).items()}
