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
from .keeping import Keeper, Rules
from .locks import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..core.runs import Run

MOST_OPEN = 64
_MOST_PATHS = 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def safe(run_id: str) -> str:
    """A run's id as it stands in the names of its files."""
    return _UNSAFE.sub("_", run_id)


class _Open(NamedTuple):
    file: int
    identity: tuple[int, int]
    since: float


class Files:
    """The files that this process appends to; for one thread at a time. Everything may raise `OSError`."""

    def __init__(self, folder: str, shared: str | None, rules: Rules | None = None) -> None:
        self.folder = Path(folder)
        self.shared = Path(shared) if shared else None
        self._open: OrderedDict[Path, _Open] = OrderedDict()
        self._start_ns = time.time_ns()
        self._paths: dict[tuple[str, bool], Path] = {}
        # Files that say whose they are, as they were when they did.
        self._begun: dict[Path, tuple[int, int]] = {}
        self._rules = rules or Rules()
        self._rotates = self._rules.rotate_bytes is not None or self._rules.rotate_seconds is not None
        self.keeper = Keeper(self._rules, self._segments, lambda: list(self._open))

    def reset_in_child(self) -> None:
        """After a fork: the parent's files stay the parent's; ours have another name."""
        self.close()
        self._start_ns = time.time_ns()
        self._paths = {}
        self._begun = {}
        self.keeper.reset()

    def path(self, run: Run) -> Path:
        """The file of a run: the same object for the same file, whose hash is then known."""
        if self.shared is not None:
            return self.shared
        key = (run.id, runs.is_elsewhere(run))
        path = self._paths.get(key)
        if path is None:
            if len(self._paths) >= _MOST_PATHS:
                self._paths.clear()
            part = f".{os.getpid()}-{self._start_ns}" if key[1] else ""
            path = self._paths[key] = self.folder / f"{safe(run.id)}{part}.jsonl"
        return path

    def ready(self, path: Path) -> bool:
        """Have ``path`` open, the file that is there now: not one that was removed or replaced.

        Whether this process has not yet said in it whose it is.
        """
        known = self._open.get(path)
        if known is not None:
            if _identity(path) == known.identity:
                self._open.move_to_end(path)
                return False
            self.forget(path, disown=True)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file, size = self._opened(path)
        if size:
            _heal(file, path, size)
        identity = self._open[path].identity
        if size and self._begun.get(path) == identity:
            return False
        self._begun[path] = identity
        self.keeper.look()
        return True

    def _opened(self, path: Path) -> tuple[int, int]:
        # No symlink is followed: another user could point it at a file of ours.
        file = os.open(path, _FLAGS, 0o600)
        found = os.fstat(file)
        self._open[path] = _Open(file, (found.st_dev, found.st_ino), time.time())
        if len(self._open) > MOST_OPEN:
            _, oldest = self._open.popitem(last=False)
            os.close(oldest.file)
        return file, found.st_size

    def is_full(self, path: Path) -> bool:
        """Whether a file that is ready is to be rotated before the next line."""
        if not self._rotates:
            return False
        known, rules = self._open[path], self._rules
        size = os.fstat(known.file).st_size
        old = rules.rotate_seconds is not None and time.time() - known.since > rules.rotate_seconds
        return size > 0 and (old or (rules.rotate_bytes is not None and size >= rules.rotate_bytes))

    def rotate(self, path: Path, first: Callable[[], bytes]) -> None:
        """Put a full file aside as `<name>.<n>.jsonl`, unless another process did; ``first`` begins the new one."""
        with locked(path, wanted=self.shared is not None):
            known = self._open.get(path)
            if known is None or _identity(path) != known.identity:
                return  # `append` opens the new one
            full = _next_segment(path)
            path.rename(full)
            self.forget(path)
            file, _ = self._opened(path)
            self._begun[path] = self._open[path].identity
            lines_written(file, (first(),), [0])
        self.keeper.look(full)

    def _segments(self) -> Iterable[Path]:
        if self.shared is None:
            return self.folder.iterdir()
        return self.shared.parent.glob(f"{_glob(self.shared.stem)}.*")

    def append(self, path: Path, lines: Sequence[bytes], count: list[int]) -> None:
        """Append ``lines`` to a file that is ready; ``count[0]`` is how many of them are there, also after an error.

        One `write` for all of them in a file of our own; one for each in a shared one, so that lines of processes
        that append at the same time stay whole.
        """
        if self.shared is None:
            lines_written(self._open[path].file, lines, count)
            return
        with locked(path, wanted=self._rotates):
            if self._rotates and _identity(path) != self._open[path].identity:  # another process has rotated it
                self.forget(path)
                self._opened(path)
            for line in lines:
                lines_written(self._open[path].file, (line,), count)

    def sync(self, path: Path) -> None:
        """Have the disk hold what was written."""
        os.fsync(self._open[path].file)

    def forget(self, path: Path, *, disown: bool = False) -> None:
        """Close ``path``: it is opened and healed again with the next line; ``disown``: as if it were new."""
        if disown:
            self._begun.pop(path, None)
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


def _glob(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)


def _next_segment(path: Path) -> Path:
    """The next free name for a full file: `run.1.jsonl`, `run.2.jsonl`, ..."""
    numbered = re.compile(re.escape(path.stem) + r"\.(\d+)" + re.escape(path.suffix) + r"(\.gz)?(\.part)?")
    taken = [int(found[1]) for found in map(numbered.fullmatch, os.listdir(path.parent)) if found is not None]  # noqa: PTH208 - names alone
    return path.with_name(f"{path.stem}.{max(taken, default=0) + 1}{path.suffix}")


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
