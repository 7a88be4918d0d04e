# SPDX-License-Identifier: Apache-2.0
"""Values that the name before them gives away.

Fields of JSON (escaped to any depth), of a ``repr``, of XML; parameters of a query, headers, assignments. The text is
never parsed as a whole, so it may be cut off or mixed, and valid JSON stays valid. A quoted name's value goes,
whatever it is; after a bare name only what looks like a secret does, as prose and code are full of such names.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from . import keys
from .rules import KEY, Hit, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from .keys import Decision

_LONGEST_KEY = 80
_NAME_CHARACTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.%-[]"
_SPACE_BYTE, _BACKSLASH = b" \\"
_STEMS: Final = {
    b"pass": r"pass(?:word|wd|phrase|code|port[_. -]?number)",
    **{
        word: word.decode()
        for word in (b"pwd", b"secret", b"credential", b"bearer", b"jwt", b"cookie", b"key", b"otp", b"token", b"ssn")
    },
    b"auth": "auth(?:orization)?",
    b"connection": "connection[_. -]?string",
    b"sas": "sas[_. -]?url",
    b"mfa": "mfa[_. -]?code",
    b"social": "social[_. -]?security[_. -]?number",
    b"card": "card[_. -]?number",
    b"cvv": "cvv",
    b"cvc": "cvc",
    b"iban": "iban",
}
"""Literals of which one stands in every name, and what a name holds from there on. `keys.judge` decides."""
# What may follow a name: the quotation mark that closes it, then a separator, or a value at once.
_CLOSE = r"(\\*[\"'`])?[ \t]{0,4}"
_SEPARATOR = r"(=>|:=|==|:|=|>|,|(?: is| was)?[ \t:]{1,2}[\"'`]?[A-Za-z0-9+/_=.-]*[0-9])"
_SCREEN = r"(?:\\*[\"'`])?[ \t]*(?:[:=>,]|(?: is| was)?[ \t:]+[\"'`]?[A-Za-z0-9+/_=.-]*[0-9])"

_QUERY = re.compile(
    rb"[?&;](?:key|sig|signature|code|hmac|x-amz-(?:signature|credential|security-token)|x-goog-signature)=([^&\s\"'<>#\\;]+)"
)
QUERY_SCREEN: Final = r"(?i)[?&;](?:key|sig|signature|code|hmac|x-amz-[a-z-]+|x-goog-signature)="
_HEADERS = frozenset({"cookie", "set-cookie", "set-cookie2"})
_LINE = re.compile(r"[^\r\n\"'\\]+")
_SPACE = re.compile(r"(?:\s|\\+[nrt]){0,64}")
_QUERY_VALUE = re.compile(r"[^&\s\"'<>#\\;]*")
_QUERY_NEXT = re.compile(r"[^&\s\"'<>#\\;=]{0,512}[&;]")
_ELEMENT = re.compile(r"[^<>\r\n]{1,4096}(?=</)")


class Fields:
    """The finder of values by their names, of which a user may add some."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        patterns = dict(_STEMS)
        told: list[str] = []
        for name in names:
            words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
            if words:
                told.append("[^a-z0-9]?".join(words))
                stem = words[0].encode()
                patterns[stem] = f"{patterns[stem]}|{told[-1]}" if stem in patterns else told[-1]
        after = keys.TAIL + _CLOSE + _SEPARATOR
        self._stems: Final = {stem: f"(?:{pattern}){after}".encode() for stem, pattern in patterns.items()}
        stems = "|".join([keys.IN_TEXT, *told])
        self.screens: Final = (f"(?i)(?:{stems}){keys.TAIL}{_SCREEN}", QUERY_SCREEN)
        """For RE2: one of them occurs wherever a name may give a value away."""

    def may_hold(self, data: bytes) -> bool:
        """Whether `find` may find anything in ``data``."""
        low = data.lower()
        return any(stem in low for stem in self._stems) or _may_hold_query(low)

    def find(self, text: str, data: bytes, judge: Callable[[str], Decision], hits: list[Hit]) -> None:
        """Add the values of ``text`` that go by their names to ``hits``. ``data``: the text as ASCII."""
        from . import values  # with the first text that has such a name

        low, done = data.lower(), 0
        for match in self._names(low):
            stem = match.start()
            if stem < done:
                continue
            start = _name_start(low, stem, done)
            if start and low[start - 1] == _SPACE_BYTE and low.startswith(b"key", start):  # "the API key is ..."
                start = _name_start(low, start - 1, done)
            if start and low[start - 1] == _BACKSLASH:
                start = min(start + escaped(low, start), stem)
            hit = _value(values, text, start, match, judge)
            if hit is not None and hit.end > hit.start:
                hits.append(hit)
                done = hit.end
        for match in _QUERY.finditer(low) if _may_hold_query(low) else ():
            value = text[match.start(1) : match.end(1)]
            code = match.group()[1:5] == b"code"
            if not values.is_masked(value) and (not code or len(value) >= _SHORTEST_CODE):
                hits.append(Hit(match.start(1), match.end(1), KEY))

    def _names(self, low: bytes) -> list[re.Match[bytes]]:
        found: list[re.Match[bytes]] = []
        for stem, pattern in self._stems.items():
            at = low.find(stem)
            # Compiled at its first find: start-up has better things to do.
            compiled = _compiled(pattern) if at >= 0 else None
            while at >= 0 and compiled is not None:
                match = compiled.match(low, at)
                if match is not None:
                    found.append(match)
                at = low.find(stem, at + 1)
        found.sort(key=_start)
        return found


def _name_start(low: bytes, end: int, done: int) -> int:
    """Return where the characters of a name begin that reach up to ``end``, in ``low`` from ``done`` on."""
    window = low[done if done > end - _LONGEST_KEY else max(0, end - _LONGEST_KEY) : end]
    return end - len(window) + len(window.rstrip(_NAME_CHARACTERS))


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)


def _start(match: re.Match[bytes]) -> int:
    return match.start()


def _may_hold_query(low: bytes) -> bool:
    return b"=" in low and (b"?" in low or b"&" in low or b";" in low)


def _value(  # noqa: PLR0911 - one a notation
    values: ModuleType, text: str, start: int, match: re.Match[bytes], judge: Callable[[str], Decision]
) -> Hit | None:
    """Return the value that belongs to the name at ``start``, if it goes."""
    (opened, closed), separator, at = match.span(1), match.group(2), match.end(2)
    name = text[start : opened if closed > 0 else match.start(2)].rstrip()
    decision = judge(name)
    if not decision.secret:
        return None
    before = text[start - 1 : start]
    if closed > 0 and before == text[closed - 1] and separator in {b":", b"=>", b"="}:
        at = _SPACE.match(text, at).end()  # pyright: ignore[reportOptionalMemberAccess] - matches ""
        return values.of_field(text, at, text[opened:closed], decision)
    if separator == b">":
        return _whole(_ELEMENT.match(text, at) if before == "<" else None, decision)
    flag = name.startswith("-")
    tight = separator == b"=" and closed < 0 and text[match.start(2) - 1] != " "
    if tight and (before in {"?", "&", ";"} or _QUERY_NEXT.match(text, at)):
        return _whole(_QUERY_VALUE.match(text, at), decision)
    if separator == b":" and closed < 0 and name.lower() in _HEADERS:
        return _whole(_LINE.match(text, at + (text[at : at + 1] == " ")), decision)
    if separator not in _PLAIN_SEPARATORS:
        at = match.start(2) + (len(separator) if separator == b"==" else _lead(separator))
        told = separator.startswith((b" is ", b" was "))
        return values.assigned(text, at, decision, values.TOLD if told else values.ONLY_RANDOM)
    anything = tight and (flag or name.isupper())
    return values.assigned(text, at, decision, values.Expect(anything, separator == b",", separator == b"=", tight))


_PLAIN_SEPARATORS = frozenset({b":", b"=", b"=>", b":=", b","})
_SHORTEST_CODE = 16
_LEAD = re.compile(rb"(?: is| was)?[ \t:]{1,2}")


def _lead(separator: bytes) -> int:
    match = _LEAD.match(separator)
    return match.end() if match is not None else 0


def _whole(match: re.Match[str] | None, decision: Decision) -> Hit | None:
    from . import values

    if match is None or values.is_masked(match.group()) or values.is_placeholder(match.group()):
        return None
    if decision.keep_numbers and match.group().isdigit() and len(match.group()) < values.LONG_NUMBER:
        return None
    return Hit(match.start(), match.end(), KEY)
