# SPDX-License-Identifier: Apache-2.0
"""The lines that are appended to the files of a folder, across rotations; half a line waits for its other half."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..envelope import line as envelope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..envelope.line import Line

_MOST_AT_ONCE = 4 * 1024 * 1024
_LONGEST_LINE = 64 * 1024 * 1024


class Tail:
    """Remembers how far each file was read, by its identity: a file that rotation renames is the same file."""

    def __init__(self, path: Path, *, history: bool) -> None:
        self._path = path
        self._read: dict[tuple[int, int], int] = {}
        self._torn: dict[tuple[int, int], bytes] = {}
        self.unreadable = 0
        if not history:
            for _, identity, size in self._files():
                self._read[identity] = size

    def _files(self) -> Iterator[tuple[Path, tuple[int, int], int]]:
        for file in sorted(self._path.glob("*.jsonl")) if self._path.is_dir() else [self._path]:
            try:
                told = file.stat()
            except OSError:
                continue  # not yet, or not any more
            yield file, (told.st_dev, told.st_ino), told.st_size

    def lines(self) -> Iterator[Line]:
        """The lines that came since the last time."""
        seen: set[tuple[int, int]] = set()
        for file, identity, size in self._files():
            seen.add(identity)
            at = self._read.get(identity, 0)
            if size < at:  # it was emptied
                at = 0
                self._torn.pop(identity, None)
            while at < size:
                data = _part(file, identity, at)
                if not data:
                    break
                at += len(data)
                self._read[identity] = at
                yield from self._whole(identity, data)
        for gone in set(self._read) - seen:
            self._read.pop(gone)
            self._torn.pop(gone, None)

    def _whole(self, identity: tuple[int, int], data: bytes) -> Iterator[Line]:
        *whole, torn = (self._torn.pop(identity, b"") + data).split(b"\n")
        if torn and len(torn) < _LONGEST_LINE:
            self._torn[identity] = torn
        for one in whole:
            if one.strip():
                try:
                    yield envelope.decode(one)
                except (ValueError, RecursionError):
                    self.unreadable += 1


def _part(file: Path, identity: tuple[int, int], at: int) -> bytes:
    """The next part of a file; none if another one stands in its place meanwhile."""
    try:
        with file.open("rb") as opened:
            told = os.fstat(opened.fileno())
            if (told.st_dev, told.st_ino) != identity:
                return b""
            opened.seek(at)
            return opened.read(_MOST_AT_ONCE)
    except OSError:
        return b""
