# SPDX-License-Identifier: Apache-2.0
"""A bar on stderr for work that takes longer than a moment; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

_AFTER, _EVERY = 0.4, 0.1
_CELLS = 24


@contextmanager
def progress(what: str, total: int) -> Generator[Callable[[int], None]]:
    """Yields a function that is told how far the work is, of ``total``."""
    if not sys.stderr.isatty() or total <= 0:
        yield lambda _: None
        return
    due = time.monotonic() + _AFTER
    shown = False

    def step(done: int) -> None:
        nonlocal due, shown
        now = time.monotonic()
        if now < due:
            return
        due, shown = now + _EVERY, True
        part = min(1.0, done / total)
        cells = "#" * round(part * _CELLS)
        sys.stderr.write(f"\r{what} [{cells:<{_CELLS}}] {part:4.0%}")
        sys.stderr.flush()

    try:
        yield step
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def size(files: Iterable[Path]) -> int:
    """Bytes of ``files`` together; one that is gone has none."""
    return sum(file.stat().st_size for file in files if file.exists())
