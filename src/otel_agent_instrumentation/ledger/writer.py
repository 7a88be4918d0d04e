# SPDX-License-Identifier: Apache-2.0
"""Appending lines to the files of a run (contracts 2): one buffer, one `write` each. Nothing raises, all is counted."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .. import semconv
from ..core import runs
from ..core.contain import Contained, record_fault, warn_once
from ..envelope import line as envelope
from ..redaction.paths import marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.runs import Run

_MOST_OPEN = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_WRITE = Contained("ledger.write")


@dataclass(slots=True, eq=False, repr=False)
class Event:
    """One line before it has its sequence number and its place."""

    name: str
    time_ns: int
    payload: dict[str, Any]
    run: Run | None = None
    cycle: int = 0
    trace_id: int = 0
    span_id: int = 0
    tags: dict[str, Any] = field(default_factory=dict[str, Any])
    file: bool = True
    """Whether it goes to the file; the socket, if there is one, takes every line."""


class Writer:
    """The ledger files of this process. Threads may share it; a forked child starts with files of its own."""

    def __init__(self, folder: str, shared: str | None, resource: dict[str, Any], agent: str) -> None:
        self._folder = Path(folder)
        self._shared = Path(shared) if shared else None
        self._resource = resource
        self._agent = agent
        self._start_ns = time.time_ns()
        # Events outside any run belong to a run id of the process itself.
        self._own = runs.Run(runs.new_id(self._start_ns), agent)
        self.socket: Callable[[bytes], object] | None = None
        """Takes each line as it is written; never waits."""
        self.written: dict[str, int] = {}
        self.dropped = 0
        self.last: Run | None = None
        """The run of the last line: what is said about the process's end goes there."""
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[Path, int] = OrderedDict()
        self._begun: set[Path] = set()
        self._seq = 0
        self._told = False

    def reset_in_child(self) -> None:
        """After a fork: the parent's files, lines and counts stay the parent's."""
        self._start_ns = time.time_ns()
        self._own = runs.Run(runs.new_id(self._start_ns), self._agent)
        self.written = {}
        self.dropped = 0
        self._reset()

    def write(self, event: Event) -> None:
        """Append one event to the file of its run. A fault is counted and said once, and costs this line alone."""
        before = self.dropped
        with _WRITE:
            self._write(event)
            return
        if self.dropped == before:
            self.dropped += 1

    def _write(self, event: Event) -> None:
        run = event.run or self._own
        path = self._path(run)
        with self._lock:
            if not event.file:
                self._send(event, run)
                return
            try:
                file = self._open(path, run, event.time_ns)
                self._append(file, self._line(event, run))
            except OSError as error:
                self._send(event, run)
                self.dropped += 1
                self._files.pop(path, None)
                record_fault("ledger.file", error, told=True)
                warn_once(
                    f"ledger:{self._folder}",
                    "otel-agent: the ledger file %s cannot be written (%s): no events are recorded, the agent goes on. "
                    "Make the folder writable, name another by OTEL_AGENT_LEDGER_DIR, or set OTEL_AGENT_LEDGER=false.",
                    path,
                    error.strerror or type(error).__name__,
                )
                return
            self.last = run
            self.written[str(path)] = self.written.get(str(path), 0) + 1

    def _send(self, event: Event, run: Run) -> None:
        """Hand a line to the socket alone."""
        if self.socket is not None:
            if not self._told:
                self._told = True
                self._hand_over(self._line(self._origin(event.time_ns), run))
            self._hand_over(self._line(event, run))

    def _hand_over(self, data: bytes) -> None:
        self._seq += 1
        if self.socket is not None:
            self.socket(data)

    def _origin(self, time_ns: int) -> Event:
        """The resource, which stands before all else; redacted when it was made."""
        fields = marked(self._resource, "payload.attributes")
        return Event(semconv.EVENT_RESOURCE, time_ns, {"attributes": self._resource, "redacted_fields": fields})

    def _line(self, event: Event, run: Run) -> bytes:
        line = envelope.Line(
            schema_version=envelope.SCHEMA_VERSION,
            timestamp=envelope.timestamp(event.time_ns),
            source=envelope.source(event.name, run.agent),
            run_id=run.id,
            cycle=event.cycle,
            event=event.name,
            payload=event.payload,
            tags={"agent": run.agent, **run.tags, **event.tags},
            time_unix_nano=event.time_ns,
            unix=round(event.time_ns / 1e9, 6),
            trace_id=f"{event.trace_id:032x}" if event.trace_id else None,
            span_id=f"{event.span_id:016x}" if event.span_id else None,
            seq=self._seq + 1,
            pid=os.getpid(),
        )
        return envelope.encode(line)

    def _path(self, run: Run) -> Path:
        if self._shared is not None:
            return self._shared
        name = _UNSAFE.sub("_", run.id)
        if runs.is_elsewhere(run):
            return self._folder / f"{name}.{os.getpid()}-{self._start_ns}.jsonl"
        return self._folder / f"{name}.jsonl"

    def _open(self, path: Path, run: Run, time_ns: int) -> int:
        file = self._files.get(path)
        if file is not None:
            self._files.move_to_end(path)
            return file
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # No symlink is followed: another user could point it at a file of ours.
        file = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | os.O_CLOEXEC, 0o600
        )
        self._files[path] = file
        if len(self._files) > _MOST_OPEN:
            _, oldest = self._files.popitem(last=False)
            os.close(oldest)
        if path not in self._begun:
            self._begun.add(path)
            self._heal(file, path)
            self._told = True
            self._append(file, self._line(self._origin(time_ns), run))
        return file

    @staticmethod
    def _heal(file: int, path: Path) -> None:
        """Begin on a fresh line where a process that was killed left a torn one."""
        size = os.fstat(file).st_size
        if size:
            with path.open("rb") as there:
                there.seek(size - 1)
                if there.read(1) != b"\n":
                    os.write(file, b"\n")

    def _append(self, file: int, data: bytes) -> None:
        done = os.write(file, data)
        while done < len(data):  # a short write: a full disk, a signal
            done += os.write(file, data[done:])
        self._hand_over(data)

    def close(self) -> None:
        """Close the files. The next event opens them again."""
        with self._lock:
            for file in self._files.values():
                os.close(file)
            self._files.clear()


def resource_attributes(resource: Any) -> dict[str, Any]:
    """A resource's attributes as a payload's object."""
    return {str(key): msgspec.to_builtins(value) for key, value in dict(resource.attributes).items()}
