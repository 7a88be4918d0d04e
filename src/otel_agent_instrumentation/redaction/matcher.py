# SPDX-License-Identifier: Apache-2.0
"""What of a text goes: the rules' findings, in order and without overlaps. Equal whatever engine screens the text."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

from . import encoded, loading, screen
from .fields import Fields
from .paths import MASKED
from .shapes import Shaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .keys import Decision
    from .rules import Hit, Rule

_DEEPEST: Final = 3
_START: Final = itemgetter(0)


class Matcher:
    """Finds what goes in a text. Safe to share between threads: it holds nothing of a text."""

    __slots__ = ("_encoded", "_fields", "_left", "_names", "_rules", "_screen")

    def __init__(
        self, rules: Sequence[Rule], keys: Sequence[str] = (), *, names: bool = True, fast_after: int | None = 0
    ) -> None:
        """Use ``rules``; ``names``: values that their names give away, too; ``keys``: more of such names.

        ``fast_after``: RE2 is loaded, where it is installed, at the text of this number: a process that looks at few
        does not pay for it. None: never.
        """
        self._rules = rules
        self._names = Fields(keys)
        self._screen: screen.Screen = screen.LiteralScreen(rules, self._names)
        self._fields = len(rules) if names else -1
        self._encoded = len(rules) + 1
        self._left = -1 if fast_after is None else fast_after
        if fast_after == 0:
            self.warm()

    def warm(self) -> str:
        """Load RE2 now, unless it is not to be used; return the name of the engine that screens: `re2` or `re`."""
        if self._left >= 0:
            self._left = -1
            with loading.lock:
                self._screen = screen.fastest(self._rules, self._names) or self._screen
        return self._screen.name

    def find(self, text: str, judge: Callable[[str], Decision]) -> list[Hit]:
        """Return what of ``text`` goes, in order; ``judge`` decides about the names of fields in it."""
        if self._left > 0:
            self._left -= 1
            if not self._left:
                self.warm()
        # One byte a character: offsets are the same.
        data = text.encode("ascii", "replace")
        found = self._screen.which(data)
        if not found:
            return []
        hits = self._hits(text, data, found, judge, 0)
        return _arranged(hits, text) if hits else hits

    def _hits(
        self, text: str, data: bytes, found: Sequence[int], judge: Callable[[str], Decision], depth: int
    ) -> list[Hit]:
        hits: list[Hit] = []
        shaped = Shaped(data)
        for index in found:
            if index < len(self._rules):
                rule = self._rules[index]
                rule.find(data, hits, (self._screen.places(index, data) if rule.shapes else None) or shaped)
            elif index == self._fields:
                self._names.find(text, data, judge, hits)
            elif index == self._encoded and depth < _DEEPEST:
                encoded.find(data, lambda content: self._within(content, judge, depth + 1), hits)
        return hits

    def _within(self, content: bytes, judge: Callable[[str], Decision], depth: int) -> str | None:
        """Return the rule that finds something in ``content``, which was encoded."""
        found = self._screen.which(content)
        if not found:
            return None
        hits = self._hits(content.decode("latin-1"), content, found, judge, depth)
        return hits[0].rule if hits else None


def _arranged(hits: list[Hit], text: str) -> list[Hit]:
    """Sort ``hits``, join those that overlap, and leave out what was replaced already."""
    masks = MASKED.finditer(text) if "REDACTED" in text else iter(())
    mask = next(masks, None)
    # Stable: of findings that are the same, the earlier rule's.
    hits.sort(key=_START)
    arranged: list[Hit] = []
    begun, done = -1, 0
    for hit in hits:
        start, end = hit[:2]
        while mask is not None and mask.end() <= start:
            mask = next(masks, None)
        if mask is not None and mask.start() <= start and end <= mask.end():
            continue
        if start >= done:
            arranged.append(hit)
            begun = start
        elif end <= done:
            continue
        else:
            # The longer of two that begin together; else the two as one. A bare value of JSON stays a string.
            arranged[-1] = hit if start == begun else arranged[-1]._replace(end=end)
        done = end
    return arranged
