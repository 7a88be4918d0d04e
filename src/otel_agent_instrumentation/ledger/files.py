# SPDX-License-Identifier: Apache-2.0
"""The ledger's files (contracts 2): opened without following a link, healed, appended to, opened anew when replaced."""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..core import runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.runs import Run

MOST_OPEN = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class _Open(NamedTuple):
    file: int
    identity: tuple[int, int]


class Files:
    """The files that this process appends to; for one thread at a time. Everything may raise `OSError`."""

    def __init__(self, folder: str, shared: str | None) -> None:
        self.folder = Path(folder)
        self.shared = Path(shared) if shared else None
        self._open: OrderedDict[Path, _Open] = OrderedDict()
        self._start_ns = time.time_ns()

    def reset_in_child(self) -> None:
        """After a fork: the parent's files stay the parent's; ours have another name."""
        self.close()
        self._start_ns = time.time_ns()

    def path(self, run: Run) -> Path:
        """The file of a run."""
        if self.shared is not None:
            return self.shared
        name = _UNSAFE.sub("_", run.id)
        if runs.is_elsewhere(run):
            return self.folder / f"{name}.{os.getpid()}-{self._start_ns}.jsonl"
        return self.folder / f"{name}.jsonl"

    def ready(self, path: Path) -> bool:
        """Have ``path`` open, the file that is there now: not one that was removed or replaced. Whether it is new."""
        known = self._open.get(path)
        if known is not None:
            if _identity(path) == known.identity:
                self._open.move_to_end(path)
                return False
            self.forget(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # No symlink is followed: another user could point it at a file of ours.
        file = os.open(path, _FLAGS, 0o600)
        found = os.fstat(file)
        self._open[path] = _Open(file, (found.st_dev, found.st_ino))
        if len(self._open) > MOST_OPEN:
            _, oldest = self._open.popitem(last=False)
            os.close(oldest.file)
        if found.st_size:
            _heal(file, path, found.st_size)
        return True

    def append(self, path: Path, lines: Sequence[bytes], count: list[int]) -> None:
        """Append ``lines`` to a file that is ready; ``count[0]`` is how many of them are there, also after an error.

        One `write` for all of them in a file of our own; one for each in a shared one, so that lines of processes
        that append at the same time stay whole.
        """
        file = self._open[path].file
        if self.shared is None:
            lines_written(file, lines, count)
            return
        for line in lines:
            lines_written(file, (line,), count)

    def sync(self, path: Path) -> None:
        """Have the disk hold what was written."""
        os.fsync(self._open[path].file)

    def forget(self, path: Path) -> None:
        """Close ``path``: it is opened and healed again with the next line."""
        known = self._open.pop(path, None)
        if known is not None:
            os.close(known.file)

    def close(self) -> None:
        """Close all. The next line opens its file again."""
        while self._open:
            _, known = self._open.popitem()
            os.close(known.file)


def lines_written(file: int, lines: Sequence[bytes], count: list[int]) -> None:
    """Write ``lines``, going on after a short write; add to ``count[0]`` how many are written as a whole."""
    data = lines[0] if len(lines) == 1 else b"".join(lines)
    done = 0
    try:
        while done < len(data):
            done += os.write(file, data[done:] if done else data)
    finally:
        for line in lines:
            done -= len(line)
            if done < 0:
                break
            count[0] += 1


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _heal(file: int, path: Path, size: int) -> None:
    """Begin on a fresh line where a process that was killed, or a full disk, left a torn one."""
    with path.open("rb") as there:
        there.seek(size - 1)
        if there.read(1) != b"\n":
            os.write(file, b"\n")
