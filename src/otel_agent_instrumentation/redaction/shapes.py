# SPDX-License-Identifier: Apache-2.0
"""A text's shape, where a rule has no literal to look for: digits as ``0``, capitals as ``A``.

What only digits make up, a card's number or a tax id, is looked for by the length of the whole run of digits: in JSON
every other value is a number, a timestamp or a float, and none of those is looked at twice.
"""

from __future__ import annotations

import re
from typing import Final

_CAPITALS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TO_SHAPE: Final = bytes(
    ord("0") if byte in b"0123456789" else ord("A") if byte in _CAPITALS else byte if byte in b" .-" else ord("x")
    for byte in range(256)
)
# Spelled out, as a literal that `re` begins with is searched for at the speed of C.
_RUN: Final = re.compile(rb"00000000000+")
"""The shortest is a tax id."""


_GATE: Final = re.compile(rb"A0|0A|A 0|0[ .-][0A]")


def gate(needle: bytes) -> bytes:
    """Return the part of ``needle`` that few texts hold, so that one look is enough for many needles."""
    match = _GATE.search(needle)
    return match.group() if match is not None else b"00"


class Shaped:
    """One text's shape."""

    __slots__ = ("_data", "_runs", "_shape")

    def __init__(self, data: bytes) -> None:
        self._data: Final = data
        self._shape: bytes | None = None
        self._runs: dict[int, list[int]] | None = None

    @property
    def shape(self) -> bytes:
        """The text's shape, of the text's length."""
        if self._shape is None:
            self._shape = self._data.translate(_TO_SHAPE)
        return self._shape

    def find(self, needle: bytes) -> list[int]:
        """Return where ``needle`` stands, in order: a whole run of digits, or anywhere for what mixes characters."""
        if needle == _ZEROS[: len(needle)]:
            return self.runs().get(len(needle), [])
        shape, found = self.shape, list[int]()
        at = shape.find(needle)
        while at >= 0:
            found.append(at)
            at = shape.find(needle, at + 1)
        return found

    def holds(self, needle: bytes) -> bool:
        """Whether `find` finds ``needle``."""
        if needle == _ZEROS[: len(needle)]:
            return len(needle) in self.runs()
        return needle in self.shape

    def runs(self) -> dict[int, list[int]]:
        """Return the beginnings of the long runs of digits by their length; of those behind a point none: fractions."""
        if self._runs is None:
            self._runs = {}
            for match in _RUN.finditer(self.shape):
                start, end = match.span()
                if not start or self._data[start - 1] != _POINT:
                    self._runs.setdefault(end - start, []).append(start)
        return self._runs


class Windows:
    """Parts of a text, for `rules.Rule.find` in place of the whole text's shape."""

    __slots__ = ("_parts",)

    def __init__(self, data: bytes, spans: list[tuple[int, int]]) -> None:
        self._parts: Final = [(start, Shaped(data[start:end])) for start, end in spans]

    def find(self, needle: bytes) -> list[int]:
        """Return where ``needle`` stands in the text, in order."""
        return sorted({start + at for start, part in self._parts for at in part.find(needle)})


_POINT: Final = 0x2E
_ZEROS: Final = b"0" * 64
