# SPDX-License-Identifier: Apache-2.0
"""Where the value of a named field stands in a text, and whether it is one that has to go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from . import checks
from .paths import MASKED
from .rules import KEY, Hit

if TYPE_CHECKING:
    from .keys import Decision

LONG_NUMBER: Final = 12
"""Digits from which on a number under ``token`` is no count any more."""

_STRUCTURE = re.compile(r"[\"'\[\]{}]")
_SCALAR = re.compile(r"[^\s,}\]\"'\\]+")
_NUMBER = re.compile(r"-?[0-9][0-9.eE+-]*\Z")
_KEPT = frozenset({"null", "true", "false", "None", "True", "False", "undefined", "nil"})
_OPEN = re.compile(r"[ \t]{0,4}([bBrRfFuU]{0,2}(\\*[\"'`]))?")
_BARE = re.compile(r"[^\s\"'`,;&<>()\[\]{}|\\=]+={0,2}")
_PLACEHOLDER = re.compile(r"[$%<{*.]|x{3,}|\*{2,}|REDACTED|your[-_ ]|os\.|process\.|env\.", re.IGNORECASE)
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\Z")
_STEM = re.compile(r"pass|pwd|token|secret|key|auth|user|name", re.IGNORECASE)
_WORDY = re.compile(r"[A-Za-z]+(?:[_.-][A-Za-z]+)*[0-9]?\Z")
_SPACES = re.compile(r"\s")
_LETTER = re.compile(r"[^\W\d_]")
_MARK = re.compile(r"[\d!@#$^&*?%]")
_LONGEST = 512
_SHORTEST = 6


def is_masked(value: str) -> bool:
    """Whether ``value`` is a replacement, or nothing."""
    return not value or MASKED.fullmatch(value) is not None


def is_placeholder(value: str) -> bool:
    """Whether ``value`` stands for a secret and is none: ``$TOKEN``, ``<token>``, ``xxxx``."""
    return _PLACEHOLDER.match(value) is not None


def of_field(text: str, start: int, quote: str, decision: Decision) -> Hit | None:
    """Return the value at ``start`` of a field whose name ends with ``quote`` (backslashes and a quotation mark)."""
    opened = text[start : start + len(quote)]
    if opened[:-1] == quote[:-1] and opened[-1:] in {'"', "'"}:
        end = string_end(text, start + len(quote), opened)
        return None if is_masked(text[start + len(quote) : end]) else Hit(start + len(quote), end, KEY)
    if text[start : start + 1] in {"[", "{"}:
        return Hit(start, _container_end(text, start, quote), KEY, quote)
    scalar = _SCALAR.match(text, start)
    if scalar is None:
        return None
    word = scalar.group()
    if word in _KEPT or MASKED.fullmatch(word) or (decision.keep_numbers and _NUMBER.match(word)):
        return None
    end = scalar.end()
    if quote == "'" and text[end : end + 1] in {'"', "'"}:
        # A repr: `b'...'`, `SecretStr('...')`.
        end = min(string_end(text, end + 1, text[end]) + 1, len(text))
    return Hit(start, end, KEY, quote)


class Expect(msgspec.Struct, frozen=True):
    """What may stand after a bare name and its separator.

    No named tuple: making one runs code from a string, which at an exit by SIGINT takes the interpreter's note of the
    signal away (this module may be imported there).
    """

    anything: bool = False
    """It is a flag, or a variable of the environment: the value goes whatever it is."""
    only_random: bool = False
    """Only what a generator made goes."""
    code: bool = False
    """An identifier may stand there."""
    tight: bool = False
    """No space stands around the separator: an identifier only where a list of arguments goes on."""


TOLD: Final = Expect()
ONLY_RANDOM: Final = Expect(only_random=True)


def assigned(text: str, at: int, decision: Decision, expect: Expect) -> Hit | None:
    """Return the value after a bare name and its separator, if it looks like a secret."""
    opened = _OPEN.match(text, at)
    mark = opened.group(2) if opened is not None else None
    start = opened.end() if opened is not None else at
    if mark:
        end = string_end(text[: start + _LONGEST], start, mark)
        if end == start + _LONGEST or "\n" in text[start:end]:
            return None
        code = False
    else:
        end = _bare_end(text, start)
        following = text[end : end + 1]
        if end == start or following in {"(", "["}:
            return None
        code = expect.code and not (expect.tight and following not in {",", ")", "]", "}"})
    value = text[start:end]
    if is_masked(value) or is_placeholder(value):
        return None
    if decision.keep_numbers and _NUMBER.match(value) and len(value) < LONG_NUMBER:
        return None
    goes = (len(value) >= checks.RANDOM_LENGTH and checks.looks_random(value.encode("ascii", "replace"))) or (
        not expect.only_random and (expect.anything or _is_password(value, code=code))
    )
    return Hit(start, end, KEY) if goes else None


def _bare_end(text: str, start: int) -> int:
    """Return where a value without quotation marks ends: before punctuation, and where another script begins."""
    bare = _BARE.match(text, start)
    if bare is None:
        return start
    foreign = None if text.isascii() else _FOREIGN.search(text, start, bare.end())
    if foreign is not None and foreign.start() - start >= _SHORTEST:
        return foreign.start()
    return start + len(bare.group().rstrip(".:!?"))


def _is_password(value: str, *, code: bool) -> bool:
    """Whether a person may have made ``value`` up: letters with digits or signs, not a word, not a name of the code."""
    if len(value) < _SHORTEST or _SPACES.search(value):
        return False
    if (
        not (_LETTER.search(value) and _MARK.search(value))
        or _DOTTED.match(value)
        or value.startswith(("/", "./", "http://", "https://"))
    ):
        return False
    if not code:
        return not (_STEM.search(value) and _WORDY.match(value))
    if not value.isidentifier():
        return True
    return not _STEM.search(value) and sum(map(str.isdigit, value)) > 1


def _backslashes(text: str, at: int) -> int:
    """Return how many backslashes stand before ``at``."""
    start = at
    while start and text[start - 1] == "\\":
        start -= 1
    return at - start


def string_end(text: str, at: int, quote: str) -> int:
    """Return where the string ends whose contents begin at ``at``: its closing quote's first character.

    At escape depth d a quote has k = 2**d - 1 backslashes; inside the string each backslash is written with k + 1 and
    a quote with 2k + 1, so the closing quote is the one whose run of backslashes leaves k modulo 2(k + 1).
    """
    escapes = len(quote) - 1
    found = text.find(quote[-1], at)
    while found >= 0:
        run = min(_backslashes(text, found), found - at)
        if run % (2 * (escapes + 1)) == escapes:
            return found - escapes
        found = text.find(quote[-1], found + 1)
    return len(text)


def _container_end(text: str, at: int, quote: str) -> int:
    """Return where the list or object that begins at ``at`` ends; the text's end where it is cut off."""
    depth = 0
    while (mark := _STRUCTURE.search(text, at)) is not None:
        character, at = mark.group(), mark.end()
        if character in "\"'":
            at = string_end(text, at, quote[:-1] + character) + len(quote)
        else:
            depth += 1 if character in "[{" else -1
            if not depth:
                return at
    return len(text)
