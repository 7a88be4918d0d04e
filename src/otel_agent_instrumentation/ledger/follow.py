# SPDX-License-Identifier: Apache-2.0
"""Following ledger files while they are written: new ones, rotated, compressed, cut off, removed.

Files are looked at again and again: no file system watches what another machine writes. A file is known by its first
line, so a rename or a compression between two looks loses and doubles nothing.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from . import positions, segments
from .reader import read, run_by_name, time_ns

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from ..envelope.head import Head

_AT_ONCE = 4 * 1024 * 1024
"""Bytes of one file in one look: who follows is given the rest with the next."""
ACTIVE_NS = 600 * 10**9
MARGIN_NS = 300 * 10**9
"""A file that was not written to for ten minutes is no longer named in a position: its lines are five minutes old."""
_FORGET_NS = 60 * 10**9


@dataclass(slots=True)
class _Followed:
    """One file: up to which byte it has been told, and the latest time in there; times in ns since the epoch."""

    path: Path
    offset: int = 0
    clock: int = 0
    written_ns: int = 0
    seen_ns: int = 0


class _Look(NamedTuple):
    inode: int
    size: int
    written_ns: int
    key: str


class Told(NamedTuple):
    """One new line. ``clock``: the latest time of its file up to it, in ns: by this the lines of files are merged."""

    clock: int
    key: str
    end: int
    """The byte after it."""
    head: Head
    data: bytes
    """The line as JSON of the envelope."""


class Place(NamedTuple):
    """How far one file has been told."""

    key: str
    path: Path
    offset: int
    written_ns: int


class Follower:
    """The new lines of a folder, or of one file, since the last look."""

    def __init__(self, where: Path, *, from_start: bool = False) -> None:
        """Begin at the end of what is there, or (``from_start``) with the first line of all."""
        self._where = where
        self._known: dict[str, _Followed] = {}
        self._looks: dict[Path, _Look] = {}
        self.unreadable = 0
        """Lines that were passed over so far."""
        self.more = False
        """Whether the last look left something that can be read at once."""
        if not from_start:
            self._look(None)

    def poll(self) -> list[Told]:
        """Return the new lines: of one file in its order, of several by time. What cannot be read is left out."""
        found: list[Told] = []
        self._look(found)
        found.sort(key=lambda one: one.clock)  # stable, and the clock of a file never goes back
        return found

    def places(self) -> list[Place]:
        """How far each file has been told."""
        return [Place(key, one.path, one.offset, one.written_ns) for key, one in self._known.items()]

    def active(self) -> dict[str, int]:
        """The same of the files that a position names."""
        least = time.time_ns() - ACTIVE_NS
        named = [(one.written_ns, key, one.offset) for key, one in self._known.items() if one.written_ns > least]
        if len(named) > positions.MOST_FILES:
            named = heapq.nlargest(positions.MOST_FILES, named)
        return {key: offset for _, key, offset in named}

    def _look(self, found: list[Told] | None) -> None:
        self.more = False
        now = time.time_ns()
        there = segments.segments(self._where) if self._where.is_dir() else [self._where]
        for path in there:
            try:
                self._one(path, found, now)
            except OSError:
                self._looks.pop(path, None)  # removed meanwhile, or not ours to read: the next look tells
        for path in self._looks.keys() - set(there):
            del self._looks[path]
        for key, one in list(self._known.items()):
            if now - one.seen_ns > _FORGET_NS:
                del self._known[key]

    def _one(self, path: Path, found: list[Told] | None, now: int) -> None:
        stat = path.stat()
        look = self._looks.get(path)
        if look is not None and look[:3] == (stat.st_ino, stat.st_size, stat.st_mtime_ns) and look.key in self._known:
            self._known[look.key].seen_ns = now
            return
        if not path.is_file():
            return
        with segments.opened(path) as stream:
            key = segments.key(stream, path.name)
            if not key:
                return
            one = self._known.get(key)
            if one is None:
                one = self._known[key] = _Followed(path, 0 if found is not None else segments.end_of_lines(stream))
            one.path, one.written_ns, one.seen_ns = path, stat.st_mtime_ns, now
            if path.suffix != ".gz" and stat.st_size < one.offset:
                one.offset = segments.end_of_lines(stream)  # cut off behind its first line
            if found is None or self._read(stream, key, one, found):
                self._looks[path] = _Look(stat.st_ino, stat.st_size, stat.st_mtime_ns, key)

    def _read(self, stream: IO[bytes], key: str, one: _Followed, found: list[Told]) -> bool:
        """Take the new lines of a file; returns whether that was all."""
        begin, run_id = one.offset, run_by_name(one.path)
        stream.seek(0)
        for data, end in segments.raw(stream, begin, whole=True):
            told = read(data, run_id) if data is not None else None
            one.offset = end
            if told is None:
                self.unreadable += 1
            else:
                one.clock = max(one.clock, time_ns(told[0]))
                found.append(Told(one.clock, key, end, *told))
            if end - begin > _AT_ONCE:
                self.more = True
                return False
        return True
