# SPDX-License-Identifier: Apache-2.0
"""Reading the ledger: the runs of a folder and the lines of a run, whatever became of the processes that wrote them.

A line that was torn by a crash, or that is none of ours, is counted and passed over. The files of one run, one for
each process (contracts 2) and any number of rotated ones, are merged by time.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from ..envelope import head as heads_of
from ..envelope import line as envelope
from . import salvage
from .segments import opened, raw, segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ..envelope.head import Head
    from ..envelope.line import Line

T = TypeVar("T")

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
# After the run's own part of a file's name: another process, a rotation, a compression.
_PARTS = r"(\.\d+-\d+)?(\.\d+)?\.jsonl(\.gz)?"
_FIRST_LINES = 8
_OUT_OF_ORDER = 256
"""How many lines of one file may stand before an older one: times are taken before a line has its place."""
_MOST_HELD = 8 * 1024 * 1024
"""Bytes of them: long lines are held fewer at a time."""


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files that hold a run."""

    run_id: str
    files: tuple[Path, ...]
    modified: float
    """When the newest of them was written to, in seconds since the epoch."""


@dataclass(slots=True)
class Events:
    """The lines of a run, in the order of their time."""

    lines: list[Line] = field(default_factory=list["envelope.Line"])
    unreadable: int = 0
    """Lines that were torn, or are no lines of the envelope."""


def lines(file: Path) -> Iterator[Line | None]:
    """Yield each line of a file, None for one that cannot be read. Raises `OSError`."""
    run_id = run_by_name(file)
    with opened(file) as stream:
        for data, _ in raw(stream):
            yield None if data is None else line(data, run_id)


def heads(file: Path) -> Iterator[Head | None]:
    """Yield each line of a file with its payload unread, None for one that cannot be read. Raises `OSError`."""
    run_id = run_by_name(file)
    with opened(file) as stream:
        for data, _ in raw(stream):
            yield None if data is None else head(data, run_id)


def line(data: bytes, run_id: str) -> Line | None:
    """One line, of the envelope or of another shape; ``run_id`` is whose it is where it does not say."""
    try:
        return envelope.decode(data)
    except (ValueError, RecursionError):
        return salvage.line(data, run_id)


def head(data: bytes, run_id: str) -> Head | None:
    """The same with the payload unread."""
    told = read(data, run_id)
    return told[0] if told is not None else None


def read(data: bytes, run_id: str) -> tuple[Head, bytes] | None:
    """A line with its payload unread, and its JSON as the envelope has it."""
    try:
        told = heads_of.decode(data)
        if not data.isascii():
            data.decode()  # nobody has looked whether the payload is text
    except (ValueError, RecursionError):
        mended = salvage.line(data, run_id)
        if mended is None:
            return None
        data = envelope.encode(mended)
        return heads_of.decode(data), data
    return told, data


def runs(folder: Path) -> list[RunFiles]:
    """The runs whose files are in ``folder``, the newest first; none where there is no such folder."""
    found: dict[str, list[tuple[Path, float]]] = {}
    for file in segments(folder):
        try:
            if file.is_file():
                found.setdefault(_run_id(file), []).append((file, file.stat().st_mtime))
        except OSError:
            continue  # removed meanwhile, or not ours to read
    told = [
        RunFiles(run_id, tuple(sorted(file for file, _ in files)), max(time for _, time in files))
        for run_id, files in found.items()
    ]
    return sorted(told, key=lambda run: (run.modified, run.run_id), reverse=True)


def runs_of(file: Path) -> list[RunFiles]:
    """The runs that have lines in ``file``, in the order of their first, each with the files of its other processes.

    One run in the file of a run, any number in a shared one. Raises `OSError`.
    """
    ids = dict.fromkeys(one.run_id for one in heads(file) if one is not None)
    beside = [other for other in segments(file.parent) if other.is_file() and other != file]
    found: list[RunFiles] = []
    for run_id in ids:
        own = re.compile(re.escape(_UNSAFE.sub("_", run_id)) + _PARTS)
        files = (file, *sorted(other for other in beside if own.fullmatch(other.name)))
        found.append(RunFiles(run_id, files, max(other.stat().st_mtime for other in files)))
    return found


def events(run: RunFiles) -> Events:
    """All lines of a run. Lines of other runs in a shared file are passed over. Raises `OSError`."""
    found = Events()
    for file in run.files:
        for one in lines(file):
            if one is None:
                found.unreadable += 1
            elif one.run_id == run.run_id:
                found.lines.append(one)
    found.lines.sort(key=time_ns)
    return found


def merged(run: RunFiles) -> Iterator[Head | None]:
    """The lines of a run by time, payloads unread, in bounded memory; None for one that cannot be read.

    A file is opened when its time comes: as many are open at once as overlap in time. Raises `OSError`.
    """
    sources = [(_first_time(file), _in_order(_of(run.run_id, heads(file)))) for file in run.files]
    return (one for _, one in merge(sources))


def merge(sources: Iterable[tuple[int, Iterator[tuple[int, T]]]]) -> Iterator[tuple[int, T]]:
    """Merge iterators of (time, item) that are sorted by time, each given with a time from which it may begin.

    An iterator is begun when its time has come.
    """
    waiting = sorted(enumerate(sources), key=lambda one: one[1][0], reverse=True)
    current: list[tuple[int, int, T, Iterator[tuple[int, T]]]] = []
    while waiting or current:
        while waiting and (not current or waiting[-1][1][0] <= current[0][0]):
            number, (_, source) = waiting.pop()
            for time, item in islice(source, 1):
                heapq.heappush(current, (time, number, item, source))
        if not current:
            continue
        time, number, item, source = current[0]
        yield time, item
        for following in islice(source, 1):
            heapq.heapreplace(current, (following[0], number, following[1], source))
            break
        else:
            heapq.heappop(current)


def _of(run_id: str, told: Iterator[Head | None]) -> Iterator[Head | None]:
    return (one for one in told if one is None or one.run_id == run_id)


def _in_order(told: Iterator[Head | None]) -> Iterator[tuple[int, Head | None]]:
    """The lines of a file that is almost in order, in order; one that cannot be read stays beside its neighbour."""
    window: list[tuple[int, int, Head | None]] = []
    time = size = 0
    for number, one in enumerate(told):
        time = time_ns(one) if one is not None else time
        size += _size(one)
        heapq.heappush(window, (time, number, one))
        while len(window) > _OUT_OF_ORDER or size > _MOST_HELD:
            first = heapq.heappop(window)
            size -= _size(first[2])
            yield first[0], first[2]
    while window:
        first = heapq.heappop(window)
        yield first[0], first[2]


def _size(one: Head | None) -> int:
    return len(bytes(one.payload)) if one is not None else 0


def _first_time(file: Path) -> int:
    return min((time_ns(one) for one in islice(heads(file), _FIRST_LINES) if one is not None), default=0)


def time_ns(told: Line | Head) -> int:
    """When it happened, in ns since the epoch; 0 where the line does not say."""
    return told.time_unix_nano if told.time_unix_nano is not None else salvage.nanoseconds(told.timestamp)


def run_by_name(file: Path) -> str:
    """The run that a file belongs to by its name alone."""
    return re.sub(_PARTS + "$", "", file.name)


def _run_id(file: Path) -> str:
    """The run that a file belongs to, as its first lines tell, else its name."""
    for one in islice(heads(file), _FIRST_LINES):
        if one is not None:
            return one.run_id
    return run_by_name(file)
