# SPDX-License-Identifier: Apache-2.0
"""A place in the stream of a folder's events, as a word that a client keeps and hands back to go on from there.

It holds, for each file that was written to lately, up to which byte its lines have been told; of all other files it
says by one time what has been: a line is told if it, and all before it in its file, are not after that time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .salvage import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FIRST = "p1"
_PART = re.compile(r"([0-9a-f]{16})-([0-9a-f]{1,15})")
MOST_FILES = 2000
"""Files that a position names; of more the ones that were written to last."""
LONGEST = 65_536
"""Characters of a position."""


class Position(NamedTuple):
    """Bytes by file (:func:`.segments.key`), and ns since the epoch for the files that are not named."""

    time_ns: int
    offsets: Mapping[str, int]


def write(time_ns: int, offsets: Iterable[tuple[str, int]]) -> str:
    """The word for a position: letters, digits, `-` and `.` alone."""
    return ".".join((_FIRST, str(max(0, time_ns)), *(f"{key}-{offset:x}" for key, offset in offsets)))


def read(word: str) -> Position:
    """The position that is meant by a word, or by a time (ISO 8601, or seconds since the epoch; 0: all there is).

    Raises `ValueError`.
    """
    if word.startswith(_FIRST + ".") and len(word) <= LONGEST:
        _, time_ns, *parts = word.split(".")
        found = [_PART.fullmatch(part) for part in parts]
        if re.fullmatch(r"[0-9]{1,20}", time_ns) and all(found):
            return Position(int(time_ns), {one[1]: int(one[2], 16) for one in found if one})
    elif re.fullmatch(r"[0-9.]{1,20}", word) and word.count(".") <= 1 and word != ".":
        return Position(nanoseconds(float(word)), {})
    elif time_ns := nanoseconds(word):
        return Position(time_ns, {})
    msg = "`since` is neither a position that the stream told, nor a time (ISO 8601 or seconds since the epoch)"
    raise ValueError(msg)
