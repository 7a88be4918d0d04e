# SPDX-License-Identifier: Apache-2.0
"""The value rules: read from ``rules.json`` at first use, with the user's own beside them.

A row of the file: ``id``; ``kind`` (``secret`` or ``pii``); ``starts``, literals of which one stands in every match
(none: the whole text is searched); ``pattern``, in the syntax that `re` and RE2 share but for look-arounds, whose first
group, if it has one, is what goes; ``left``, a class of characters that may not stand before; ``behind``, a class of
characters of which some stand before the literal and go too; ``back``, how far before the literal a match may begin;
``check``, a function of `checks`; ``screen``, a pattern without look-arounds and wide repeats that occurs wherever
``pattern`` does; ``shapes``, what every match begins with where there is no literal (see `shapes`); ``probe``, a
pattern that finds the literals at which a match may stand, where the literal is a common one; ``run``: the literal
stands in a run of 16 characters of a token that no id could be (`screen.OF_IDS`); ``most``, how far a match may reach;
``on``; ``source``, the vendor's page.

Patterns see the text as ASCII bytes, one a character, with ``?`` for what is not ASCII: offsets are the text's.
"""

from __future__ import annotations

import pkgutil
import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from ..core.contain import warn_once
from .paths import MASKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..config import UserRule
    from .checks import Check
    from .shapes import Shaped, Windows

KEY: Final = "key"
"""The rule of values that go by the name of their key."""

FAULT: Final = "error"
"""Not a rule: what went because a rule failed on it."""

_MOST: Final = 1024
_USER_WINDOW: Final = 512
_LONGEST_BEHIND: Final = 64
_MASKED: Final = re.compile(MASKED.pattern.encode())


class Row(msgspec.Struct, frozen=True):
    """One rule as the file has it."""

    id: str
    kind: Literal["secret", "pii", "user"]
    pattern: str
    source: str
    starts: tuple[str, ...] = ()
    left: str = ""
    behind: str = ""
    back: int = 0
    check: str = ""
    screen: str = ""
    shapes: tuple[str, ...] = ()
    probe: str = ""
    run: bool = False
    most: int = _MOST
    on: bool = True
    note: str = ""


class Hit(NamedTuple):
    """What a rule found: characters from ``start`` up to ``end``."""

    start: int
    end: int
    rule: str
    quote: str = ""
    """Put around the replacement: a bare value of JSON becomes a string."""


class Rule:
    """One rule, its patterns compiled at the first text that may hold a match."""

    def __init__(self, row: Row) -> None:
        self.id: Final = row.id
        self.row: Final = row
        self.starts: Final = tuple(start.encode() for start in row.starts)
        self.shapes: Final = tuple(shape.encode() for shape in row.shapes)

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """The pattern of a match."""
        return re.compile(self.row.pattern.encode())

    @cached_property
    def _group(self) -> int:
        """The group of the pattern that goes."""
        return 1 if self.pattern.groups else 0

    @cached_property
    def _left(self) -> bytes:
        return _of_class(self.row.left)

    @cached_property
    def _probe(self) -> re.Pattern[bytes] | None:
        return re.compile(self.row.probe.encode()) if self.row.probe else None

    @cached_property
    def _check(self) -> Check | None:
        if not self.row.check:
            return None
        from . import checks

        return checks.CHECKS[self.row.check]

    @cached_property
    def _behind(self) -> bytes:
        return _of_class(self.row.behind)

    def screen(self) -> str:
        """Return the pattern for RE2 that occurs wherever this rule may match."""
        return self.row.screen or "|".join(map(re.escape, self.row.starts)) or self.row.pattern

    def find(self, data: bytes, hits: list[Hit], shaped: Shaped | Windows) -> None:
        """Add what of ``data``, whose shape is ``shaped``, this rule takes to ``hits``."""
        for shape in self.shapes:
            self._each(shaped.find(shape), data, hits)
        if self._probe is not None:
            self._each((match.start() for match in self._probe.finditer(data)), data, hits)
            return
        for literal in self.starts:
            at = data.find(literal)
            while at >= 0:
                end = self._at(data, at, hits)
                at = data.find(literal, max(end, at + 1))
        if not self.starts and not self.shapes:
            at = 0
            while (match := self.pattern.search(data, at)) is not None:
                at = max(self._take(match, data, hits), match.start() + 1)

    def _each(self, places: Iterable[int], data: bytes, hits: list[Hit]) -> None:
        done = 0
        for at in places:
            if at >= done:
                done = self._at(data, at, hits)

    def _at(self, data: bytes, at: int, hits: list[Hit]) -> int:
        """Try the literal at ``at``; return where to look on."""
        row = self.row
        if row.back:
            match = self.pattern.search(data, max(0, at - row.back), at + row.most)
            if match is not None and match.end() <= at:
                # It belongs to a literal before this one.
                match = self.pattern.search(data, match.end(), at + row.most)
            if match is None or not match.start() <= at < match.end() or self._forbidden(data, match.start()):
                return at + 1
        else:
            if self._forbidden(data, at):
                return at + 1
            match = self.pattern.match(data, at, at + row.most)
            if match is None:
                return at + 1
        if row.behind:
            window = data[max(0, at - _LONGEST_BEHIND) : at]
            behind = at - len(window) + len(window.rstrip(self._behind))
            return self._take(match, data, hits, min(at, behind + escaped(data, behind)))
        return self._take(match, data, hits)

    def _forbidden(self, data: bytes, start: int) -> bool:
        left = self._left
        return bool(left) and start > 0 and data[start - 1] in left and not _is_escaped(data, start)

    def _take(self, match: re.Match[bytes], data: bytes, hits: list[Hit], behind: int | None = None) -> int:
        start, end = match.span(self._group)
        if behind is not None:
            if behind == start:
                return start + 1
            start = behind
        if self._check is not None:
            span = self._check(data, start, end)
            if span is None:
                return match.end()
            start, end = span
        elif end == match.start() + self.row.most:
            end = _rest(data, end)
        # What was replaced already is the most of a second look; no finding is made of it.
        if not data.startswith(b"REDACTED", start) or not _is_masked(data, start, end):
            hits.append(Hit(start, end, self.id))
        until = match.end()
        return max(until, end)


def _is_masked(data: bytes, start: int, end: int) -> bool:
    """Whether ``data`` from ``start`` to ``end`` is of a replacement that begins at ``start``."""
    mask = _MASKED.match(data, start)
    return mask is not None and end <= mask.end()


def _of_class(characters: str) -> bytes:
    """Return every ASCII character of the class ``characters``."""
    if not characters:
        return b""
    one = re.compile(f"[{characters}]")
    return "".join(filter(one.match, map(chr, range(128)))).encode()


_ESCAPED = re.compile(rb"[nrtbf]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}")


def escaped(data: bytes, at: int) -> int:
    """Return how many characters from ``at`` on belong to an escape that the backslash before them begins."""
    if not at or data[at - 1] != _BACKSLASH:
        return 0
    match = _ESCAPED.match(data, at)
    return match.end() - at if match is not None else 0


_BACKSLASH: Final = 0x5C
_ENDS: Final = b"0123456789abcdefABCDEFmnrt"
_ESCAPE = re.compile(rb"(?:\\[nrtbf]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\[[0-9;]{1,8}m)\Z")
_TOKEN_REST = re.compile(rb"[A-Za-z0-9+/=_.~-]*")


def _is_escaped(data: bytes, at: int) -> bool:
    """Whether the letter before ``at`` is the end of an escape: a line break, ``%3D``, a terminal's colour."""
    return data[at - 1] in _ENDS and _ESCAPE.search(data, max(0, at - 9), at) is not None


def _rest(data: bytes, end: int) -> int:
    """Return where a token ends that reached further than its rule looks."""
    return _TOKEN_REST.match(data, end).end()  # pyright: ignore[reportOptionalMemberAccess] - matches ""


def built_in() -> list[Row]:
    """Return the rows of ``rules.json``, in its order: what stands earlier names a match that two rules share."""
    data = pkgutil.get_data(__name__, "rules.json")
    return msgspec.json.decode(data or b"", type=list[Row])


def build(off: Sequence[str], on: Sequence[str], user: Iterable[UserRule]) -> list[Rule]:
    """Return the rules in force. ``off`` and ``on`` name rules or kinds; a name that is neither is one warning."""
    rows = built_in()
    known = {row.id for row in rows} | {row.kind for row in rows} | {KEY, "user"}
    for name in (*off, *on):
        if name not in known:
            warn_once(
                f"redaction.rule:{name}", "otel-agent: there is no redaction rule called %r; it is ignored.", name
            )
    chosen = [row for row in rows if _is_on(row, off, on)]
    return [Rule(row) for row in chosen] + [rule for rule in map(_of_user, user) if rule is not None]


def _is_on(row: Row, off: Sequence[str], on: Sequence[str]) -> bool:
    if row.id in off:
        return False
    return row.id in on or (row.on and row.kind not in off)


# A repeat of a group that repeats itself: exponential in `re`, whatever the text.
_NESTED_REPEAT = re.compile(r"[*+}]\)+[*+{]|\([^()]*\|[^()]*\)[*+{]")


def _of_user(given: UserRule) -> Rule | None:
    try:
        if _NESTED_REPEAT.search(given.pattern):
            raise re.error("a repeat within a repeat")  # noqa: TRY301 - one way out for all that is wrong with it
        rule = Rule(
            Row(
                id=given.id,
                kind="user",
                pattern=given.pattern,
                source="the configuration file",
                starts=given.starts,
                most=_USER_WINDOW,
            )
        )
        rule.pattern.search(b"")
    except (re.error, ValueError, OverflowError, UnicodeEncodeError) as error:
        warn_once(
            f"redaction.user_rule:{given.id}",
            "otel-agent: the redaction rule %r of the configuration file cannot be used (%s): it is left out.",
            given.id,
            error,
        )
        return None
    return rule
