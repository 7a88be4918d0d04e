# SPDX-License-Identifier: Apache-2.0
"""Reading the ledger: the runs of a folder and the lines of a run, whatever became of the processes that wrote them.

A line that was torn by a crash, or that is none of ours, is counted and passed over. The files of one run, one for
each process (contracts 2), are merged by time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ..envelope import line as envelope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..envelope.line import Line

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
# After the run's own part of a file's name: another process, a rotation.
_PARTS = r"(\.\d+-\d+)?(\.\d+)?\.jsonl"
_LONGEST_LINE = 16 * 1024 * 1024
_FIRST_LINES = 8


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
    with file.open("rb") as opened:
        while data := opened.readline(_LONGEST_LINE):
            if len(data) == _LONGEST_LINE and not data.endswith(b"\n"):
                while data and not data.endswith(b"\n"):
                    data = opened.readline(_LONGEST_LINE)
                yield None
            elif not data.isspace():
                yield _decoded(data)


def _decoded(data: bytes) -> Line | None:
    try:
        return envelope.decode(data)
    except (ValueError, RecursionError):
        return None


def runs(folder: Path) -> list[RunFiles]:
    """The runs whose files are in ``folder``, the newest first; none where there is no such folder."""
    found: dict[str, list[tuple[Path, float]]] = {}
    for file in folder.glob("*.jsonl") if folder.is_dir() else ():
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
    ids = dict.fromkeys(line.run_id for line in lines(file) if line is not None)
    beside = [other for other in file.parent.glob("*.jsonl") if other.is_file() and other != file]
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
        for line in lines(file):
            if line is None:
                found.unreadable += 1
            elif line.run_id == run.run_id:
                found.lines.append(line)
    found.lines.sort(key=time_ns)
    return found


def time_ns(line: Line) -> int:
    """When it happened, in ns since the epoch; 0 where the line does not say."""
    if line.time_unix_nano is not None:
        return line.time_unix_nano
    try:
        # Python 3.10 does not read the `Z`.
        return round(datetime.fromisoformat(line.timestamp.replace("Z", "+00:00")).timestamp() * 1000) * 1_000_000
    except (ValueError, OverflowError):
        return 0


def _run_id(file: Path) -> str:
    """The run that a file belongs to, as its first lines tell, else its name."""
    for _, line in zip(range(_FIRST_LINES), lines(file), strict=False):
        if line is not None:
            return line.run_id
    return re.sub(_PARTS + "$", "", file.name)
