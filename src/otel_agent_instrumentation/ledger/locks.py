# SPDX-License-Identifier: Apache-2.0
"""A lock between the processes that share a ledger file: held for a write, and while the file is put aside."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # not a Unix: there a shared file is not rotated by several processes at a time
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_LONGEST = 1.0
_POLL = 0.002


@contextlib.contextmanager
def locked(path: Path, *, wanted: bool = True) -> Generator[None]:
    """Hold `<path>.lock`, waiting for it at most a second: who holds it longer was stopped, and is not waited for."""
    if not wanted or fcntl is None:
        yield
        return
    file = os.open(path.with_name(f"{path.name}.lock"), _FLAGS, 0o600)
    try:
        deadline = time.monotonic() + _LONGEST
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
            time.sleep(_POLL)
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked child may hold the file open still
        os.close(file)
