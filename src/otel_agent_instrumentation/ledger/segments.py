# SPDX-License-Identifier: Apache-2.0
"""The files of the ledger as lines of bytes: whatever is in them, however long, compressed or not.

A rotated file may be compressed (`<run>.<n>.jsonl.gz`); it is told by its first bytes, not by its name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of a line beyond which it is passed over: it is not held in memory."""
_BUFFER = 1024 * 1024
_KEY_BYTES = 65_536
_NEWLINE = 0x0A
_LAST_OF_UTF_16 = b"\0"  # the second half of a file's last newline
_GZIP = b"\x1f\x8b"
_ENDING = re.compile(r"\.jsonl(\.gz)?$")
_ROTATION = re.compile(r"(\.\d+)?\.jsonl(\.gz)?$")


@contextmanager
def opened(file: Path) -> Generator[IO[bytes]]:
    """Open ``file`` to read its uncompressed content. Raises `OSError`."""
    with file.open("rb", buffering=_BUFFER) as plain:
        packed = plain.read(2) == _GZIP
        plain.seek(0)
        if not packed:
            yield plain
            return
        with gzip.GzipFile(fileobj=plain) as unpacked:
            yield cast("IO[bytes]", unpacked)


def raw(stream: IO[bytes], at: int = 0, *, whole: bool = False) -> Iterator[tuple[bytes | None, int]]:
    """Yield each line from byte ``at`` on that is not blank, with the byte after it; None for one too long.

    A compressed file that is torn ends with None, too. With ``whole`` a last line without a newline is left for later.
    Raises `OSError`.
    """
    try:
        if at:
            stream.seek(at)
        while data := stream.readline(LONGEST_LINE):
            at += len(data)
            if data[-1] != _NEWLINE:
                if len(data) == LONGEST_LINE:
                    at += _passed_over(stream)
                    yield None, at
                    continue
                if whole:
                    return
            if not data.isspace() and data != _LAST_OF_UTF_16:
                yield data, at
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield None, at


def _passed_over(stream: IO[bytes]) -> int:
    """Read on to the end of the line; returns how many bytes that were."""
    passed = 0
    while data := stream.readline(_BUFFER):
        passed += len(data)
        if data[-1] == _NEWLINE:
            break
    return passed


def segments(folder: Path) -> list[Path]:
    """The ledger files of a folder, sorted; the plain one where its compressed copy is there already."""
    try:
        found = [file for file in folder.iterdir() if _ENDING.search(file.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = {file.name for file in found}
    return sorted(file for file in found if not (file.name.endswith(".gz") and file.name[:-3] in names))


def key(stream: IO[bytes], name: str) -> str:
    """What a file is known by when it is renamed or compressed: a digest of its first line. Empty: it has none yet.

    ``stream`` is left somewhere. Raises `OSError`.
    """
    try:
        first = stream.readline(_KEY_BYTES)
    except (EOFError, zlib.error):
        return ""
    if len(first) < _KEY_BYTES and not first.endswith(b"\n"):
        return ""
    return hashlib.blake2b(first, digest_size=8, key=_ROTATION.sub("", name).encode()[:64]).hexdigest()


def end_of_lines(stream: IO[bytes]) -> int:
    """The byte after the last whole line. Raises `OSError`."""
    stream.seek(0)
    if isinstance(stream, gzip.GzipFile):  # it has no end until it is read, and is not written to any more
        return max((end for _, end in raw(stream)), default=0)
    start = stream.seek(0, io.SEEK_END)
    while start:
        start = max(0, start - _BUFFER)
        stream.seek(start)
        if newline := stream.read(_BUFFER).rfind(b"\n") + 1:
            return start + newline
    return 0
