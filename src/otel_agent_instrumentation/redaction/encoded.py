# SPDX-License-Identifier: Apache-2.0
"""Base64 within text: what it holds is looked at by the same rules, and the whole of it goes where they find something.

Data URLs, ``data:`` fields of secrets' manifests, forms and mails that were encoded once more. What does not decode to
text, as pictures and sounds, is left alone.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final

from .rules import Hit, escaped

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST: Final = 24
SCREEN: Final = r"(?:^|[^A-Za-z0-9+/])[0-9a-f]{0,3}[g-zA-Z+/][A-Za-z0-9+/]{20}"
"""For RE2: a run whose beginning is no lower-case hexadecimal, which ids are made of.

It begins where a run does: one that may begin anywhere has as many states as there are subsets of its counts.
"""

_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]{20,}(?:(?:\r?\n|\\+r\\+n|\\+n)[A-Za-z0-9+/_-]{4,})*")
_LINE_BREAK: Final = re.compile(rb"\r?\n|\\+r\\+n|\\+n")
_PIECE: Final = re.compile(rb"[A-Za-z0-9+/]{24,}")
_NOT_HEX: Final = re.compile(rb"[^0-9a-f]")
_OF_IDS: Final = b"0123456789abcdef-"
_LONG: Final = 100
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_NEEDLE: Final = b"a" * SHORTEST
_LEAST: Final = b"a" * 20
_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_RUNS: Final = bytes(0x61 if byte in _CHARACTERS else 0x20 for byte in range(256))
_TO_TEXT_RUNS: Final = bytes(0x61 if byte in _CHARACTERS + b"-_" else 0x20 for byte in range(256))
# Where one byte in so many at the most is none of a text: a pickle, a form; pictures and sounds are noise.
_SHARE: Final = 4
_PRINTABLE: Final = bytes(byte for byte in range(128) if byte in b"\t\r\n" or 32 <= byte < 127)  # noqa: PLR2004 - ASCII


def has_run(data: bytes) -> bool:
    """Whether ``data`` holds a run that `find` would look into."""
    return _NEEDLE in data.translate(_TO_RUNS)


def find(data: bytes, is_secret: Callable[[bytes], str | None], hits: list[Hit]) -> None:
    """Add the runs of ``data`` to ``hits`` whose content ``is_secret``, which names the rule."""
    marks, done = data.translate(_TO_TEXT_RUNS), 0
    # What `_RUN.finditer` finds; that tries each word from each of its letters on.
    while (begin := marks.find(_LEAST, done)) >= 0:
        match = _RUN.match(data, begin)
        if match is None:
            break
        done = match.end()
        if done - begin >= _LONG or match.group().translate(None, _OF_IDS):
            _in_run(data, begin + escaped(data, begin), done, is_secret, hits)


def _in_run(data: bytes, start: int, end: int, is_secret: Callable[[bytes], str | None], hits: list[Hit]) -> None:
    run = data[start:end]
    if len(run) < SHORTEST:
        return
    if b"\n" in run or b"\\" in run:
        rule = _look(_LINE_BREAK.sub(b"", run), is_secret)
        if rule is not None:
            hits.append(Hit(start, _padded(data, end), rule))
            return
        # Else lines that only happen to stand below each other: each by itself.
    elif len(run) >= _LONG and _NEEDLE in run.translate(_TO_RUNS):
        # Base64 for URLs; a shorter run with dashes is words, or a UUID.
        rule = _look(run, is_secret)
        if rule is not None:
            hits.append(Hit(start, _padded(data, end), rule))
        return
    for piece in _PIECE.finditer(data, start, end):
        at = piece.start()
        if _NOT_HEX.search(data, at, at + 4):
            rule = _look(piece.group(), is_secret)
            if rule is not None:
                hits.append(Hit(at, _padded(data, piece.end()), rule))


def _padded(data: bytes, end: int) -> int:
    """Return where a run ends with its padding."""
    while data[end : end + 1] == b"=":
        end += 1
    return end


def _look(run: bytes, is_secret: Callable[[bytes], str | None]) -> str | None:
    whole = run.translate(_URL_SAFE)[: len(run) - (len(run) % 4 == 1)]
    content = binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
    noise = len(content.translate(None, _PRINTABLE))
    if noise * _SHARE <= len(content) or _is_text(content):
        return is_secret(content)
    return None


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
