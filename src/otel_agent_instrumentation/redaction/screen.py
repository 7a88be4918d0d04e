# SPDX-License-Identifier: Apache-2.0
"""Which rules may find something in a text: the quick look that almost every text passes.

Two engines, one interface: google-re2 (the extra ``[fast]``), one pass over the text for all rules, and literals in
pure Python. Both only name candidates, and both name every rule that finds something: what a rule takes is for
the same code to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ..core.contain import Contained
from . import encoded
from .shapes import Shaped, Windows, gate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .fields import Fields
    from .rules import Rule

_RE2: Final = Contained("redaction.re2")
# Beyond this the lazily built automaton is thrown away and begun again, which is slow, not wrong.
_MEMORY: Final = 32 << 20
_MOST_PLACES: Final = 16


class Screen(Protocol):
    """Names candidates. ``fields`` and ``encoded`` are asked of it like rules, by the indices below."""

    name: str

    def which(self, data: bytes) -> Sequence[int]:
        """Return the indices of the rules that may find something in ``data`` (ASCII, one byte a character)."""
        ...

    def places(self, index: int, data: bytes) -> Windows | None:
        """Return where in ``data`` the rule ``index``, one of shapes, may find something; None: anywhere."""
        ...


class LiteralScreen:
    """Pure Python: substring searches at the speed of C."""

    name = "re"

    def __init__(self, rules: Sequence[Rule], names: Fields) -> None:
        self._names = names
        starts = [(literal, index, rule) for index, rule in enumerate(rules) for literal in rule.starts]
        self._literals = [(literal, index) for literal, index, rule in starts if not rule.row.run]
        self._tokens = [(literal, index) for literal, index, rule in starts if rule.row.run]
        self._shapes: dict[bytes, list[tuple[bytes, int]]] = {}
        for index, rule in enumerate(rules):
            for shape in rule.shapes:
                self._shapes.setdefault(gate(shape), []).append((shape, index))
        self._always = [index for index, rule in enumerate(rules) if not rule.starts and not rule.shapes]
        self._fields, self._encoded = len(rules), len(rules) + 1

    def which(self, data: bytes) -> Sequence[int]:
        """Return the candidates for ``data``."""
        found = {index for literal, index in self._literals if literal in data}
        tokens = _tokens(data)
        if tokens:
            found.update(index for literal, index in self._tokens if literal in tokens)
        shaped = Shaped(data)
        if b"00" in shaped.shape:
            for rarely, shapes in self._shapes.items():
                if rarely in shaped.shape:
                    found.update(index for needle, index in shapes if shaped.holds(needle))
        found.update(self._always)
        if self._names.may_hold(data):
            found.add(self._fields)
        if len(data) >= encoded.SHORTEST and encoded.has_run(data):
            found.add(self._encoded)
        return sorted(found)

    def places(self, index: int, data: bytes) -> Windows | None:  # noqa: ARG002 - the protocol's
        """It does not know."""
        return None


OF_IDS: Final = b"0123456789abcdef.-"
"""What hexadecimal ids, dates and floats are made of: no secret's token is of these alone."""
_TOKEN: Final = b"a" * 16
_OF_TOKENS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_.~$:-"
_TO_TOKENS: Final = bytes(0x61 if byte in _OF_TOKENS else 0x20 for byte in range(256))


def _tokens(data: bytes) -> bytes:
    """Return the long tokens of ``data``, joined, but for those that may be ids."""
    marks = data.translate(_TO_TOKENS)
    found: list[bytes] = []
    at = marks.find(_TOKEN)
    while at >= 0:
        end = marks.find(b" ", at)
        token = data[at : end if end >= 0 else len(data)]
        if token.translate(None, OF_IDS):
            found.append(token)
        at = marks.find(_TOKEN, end) if end >= 0 else -1
    return b" ".join(found)


class Re2Screen:
    """Two automata: one for the secrets' literals and names, one for personal data and runs of base64.

    What shares an automaton multiplies its states, which are built at the first text that needs them. So what words
    begin stands with words, and what follows the end of one, mostly digits, with the other of that kind.
    """

    name = "re2"

    def __init__(self, re2: Any, rules: Sequence[Rule], names: Fields) -> None:
        self._options = re2.Options()
        self._options.encoding = re2.Options.Encoding.LATIN1
        self._options.max_mem = _MEMORY
        self._options.log_errors = False
        words = [(rule.screen(), index) for index, rule in enumerate(rules) if rule.row.kind == "secret"]
        words += [(pattern, len(rules)) for pattern in names.screens]
        others = [(rule.screen(), index) for index, rule in enumerate(rules) if rule.row.kind != "secret"]
        others.append((encoded.SCREEN, len(rules) + 1))
        self._looks = (self._set(re2, words), self._set(re2, others))
        self._all = range(len(rules) + 2)
        self._rules, self._re2 = rules, re2
        self._located: dict[int, Any] = {}

    def _set(self, re2: Any, patterns: list[tuple[str, int]]) -> tuple[Callable[[bytes], list[int]], dict[int, int]]:
        made = re2.Set.SearchSet(self._options)
        # Matches always: a search that ran out of memory gives nothing, and nothing must not pass for clean.
        made.Add("")
        index = {made.Add(pattern): rule for pattern, rule in patterns}
        made.Compile()
        return made.Match, index

    def which(self, data: bytes) -> Sequence[int]:
        """Return the indices of the rules that may find something in ``data``; all where the engine gave up."""
        found: set[int] = set()
        for match, rules in self._looks:
            hits = match(data)
            if not hits:
                return self._all
            if len(hits) > 1:
                found.update(rules[hit] for hit in hits if hit in rules)
        return sorted(found) if found else ()

    def places(self, index: int, data: bytes) -> Windows | None:
        """Return the parts of ``data`` where the rule's screen matches; None where they are many."""
        located = self._located.get(index)
        if located is None:
            pattern = self._rules[index].screen().encode()
            located = self._located[index] = self._re2.compile(pattern, self._options)
        spans: list[tuple[int, int]] = []
        match = located.search(data)
        while match is not None:
            if len(spans) == _MOST_PLACES:
                return None
            start, end = match.span()
            spans.append((start, end))
            # Not from its end on: the next may begin within.
            match = located.search(data, start + 1)
        return Windows(data, spans)


def fastest(rules: Sequence[Rule], names: Fields) -> Screen | None:
    """Return the screen of RE2 for ``rules``; None where it cannot be had."""
    try:
        import re2
    except ImportError:
        return None
    with _RE2:
        return Re2Screen(re2, rules, names)
    return None
