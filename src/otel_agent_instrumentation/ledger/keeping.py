# SPDX-License-Identifier: Apache-2.0
"""What becomes of full segments: compressed, and removed when there are too many of them. On a thread of its own.

Only segments that this process rotated are compressed: nobody writes to them any more. What is removed is the oldest,
never a file that this process has open or that was written to in the last minute.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..core.contain import Contained, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_KEEP = Contained("ledger.keep")
_SETTLED = 60.0
_DAY = 86_400.0
_SEGMENT = re.compile(r".+\.jsonl(\.gz)?\Z")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Rules(NamedTuple):
    """When a file is rotated and what is kept; None for never and for all."""

    rotate_bytes: int | None = None
    rotate_seconds: float | None = None
    compress: bool = False
    keep_files: int | None = None
    keep_days: float | None = None
    keep_bytes: int | None = None

    def removes(self) -> bool:
        """Whether anything is ever removed."""
        return (self.keep_files, self.keep_days, self.keep_bytes) != (None, None, None)


class _File(NamedTuple):
    path: Path
    size: int
    modified: float


class Keeper:
    """Compresses and removes, when told that there is something to do."""

    def __init__(self, rules: Rules, among: Callable[[], Iterable[Path]], busy: Callable[[], Iterable[Path]]) -> None:
        self._rules = rules
        self._among = among
        self._busy = busy
        if rules.compress:
            import gzip  # noqa: F401 # pyright: ignore[reportUnusedImport] - here, where nobody forks meanwhile
        self.reset()

    def reset(self) -> None:
        """A forked child has no thread, and nothing rotated."""
        self._full: deque[Path] = deque()
        self._thread: threading.Thread | None = None

    def look(self, full: Path | None = None) -> None:
        """There is a full segment, or a new file: see to it soon."""
        if full is not None and self._rules.compress:
            self._full.append(full)
        if not self._full and not self._rules.removes():
            return
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._run, name="otel-agent-ledger-keeper", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the interpreter is ending: the next process of the folder removes
            self._thread = thread

    def wait(self, timeout: float) -> None:
        """Wait for what is being done."""
        if self._thread is not None:
            self._thread.join(max(0.0, timeout))

    def _run(self) -> None:
        with _KEEP:
            while self._full:
                _compress(self._full.popleft())
            if self._rules.removes():
                self._remove()

    def _remove(self) -> None:
        busy, now = set(self._busy()), time.time()
        files = sorted(_files(self._among()), key=lambda file: file.modified, reverse=True)
        size = 0
        for count, file in enumerate(files, start=1):
            size += file.size
            if file.path not in busy and now - file.modified > _SETTLED and self._too_much(count, size, file, now):
                file.path.unlink(missing_ok=True)

    def _too_much(self, count: int, size: int, file: _File, now: float) -> bool:
        rules = self._rules
        return (
            (rules.keep_files is not None and count > rules.keep_files)
            or (rules.keep_bytes is not None and size > rules.keep_bytes)
            or (rules.keep_days is not None and now - file.modified > rules.keep_days * _DAY)
        )


def _files(among: Iterable[Path]) -> list[_File]:
    found: list[_File] = []
    for path in among:
        try:
            status = path.lstat()
        except OSError:
            continue  # removed meanwhile
        if stat.S_ISREG(status.st_mode) and _SEGMENT.fullmatch(path.name):
            found.append(_File(path, status.st_size, status.st_mtime))
    return found


def _compress(full: Path) -> None:
    """Replace a segment by its `.gz`. The segment stays until the whole of that is on the disk."""
    import gzip

    target, part = full.with_name(f"{full.name}.gz"), full.with_name(f"{full.name}.gz.part")
    try:
        part.unlink(missing_ok=True)
        with full.open("rb") as source, os.fdopen(os.open(part, _NEW, 0o600), "wb") as raw:
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6) as packed:
                shutil.copyfileobj(source, packed, 1 << 20)
            raw.flush()
            os.fsync(raw.fileno())
        status = full.stat()
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        part.replace(target)
        full.unlink()
    except OSError as error:
        part.unlink(missing_ok=True)
        warn_once(
            f"ledger:compress:{full.parent}",
            "otel-agent: the ledger segment %s cannot be compressed (%s): it stays as it is.",
            full,
            error.strerror or type(error).__name__,
        )
