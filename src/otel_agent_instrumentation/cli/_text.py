# SPDX-License-Identifier: Apache-2.0
"""Text for a terminal: made harmless, measured, cut, coloured, and put into what the terminal's encoding can say."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, cast

from .. import config

if TYPE_CHECKING:
    from collections.abc import Iterable

_MINUTE, _HOUR = 60, 3600
_LONG_NUMBER = 10_000_000
_DOLLAR = 1_000_000
_LONGEST = 200
COLUMNS = 100
"""How wide the output is where it goes to no terminal."""
# One character for one, so that columns stay in place.
_ASCII = str.maketrans({"├": "|", "└": "`", "│": "|", "─": "-", "·": "-", "…": "~", "→": ">", "✗": "x"})

STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line, in one style of :data:`STYLES` or in none."""

    text: str
    style: str = ""


def clean(text: str, most: int = _LONGEST) -> str:
    r"""``text`` on one line, at most ``most`` characters of it, with every control and format character spelt out.

    >>> clean('a\x1b[31mb')
    'a\\x1b[31mb'
    """
    if len(text) > most:
        text = f"{text[:most]}…"
    if text.isprintable():
        return text
    # Besides controls these are the characters that turn a line's direction, and lone surrogates.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width(text: str) -> int:
    """How many columns a terminal takes for ``text``."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """``text`` in at most ``columns`` columns."""
    if width(text) <= columns:
        return text
    kept, left = "", columns - 1
    for character in text:
        left -= _columns(character)
        if left < 0:
            break
        kept += character
    return f"{kept}…" if columns > 0 else ""


def broken(text: str, columns: int) -> list[str]:
    """``text`` in pieces of at most ``columns`` columns; at least one."""
    pieces, used = [""], 0
    for character in text:
        used += _columns(character)
        if used > columns:
            pieces.append("")
            used = _columns(character)
        pieces[-1] += character
    return pieces


def seconds(value: float) -> str:
    """A duration as a person says it."""
    if value < 0.9995:  # noqa: PLR2004 - what rounds to 1000 ms is a second
        return f"{value * 1000:.0f} ms"
    if value < _MINUTE:
        return f"{value:.2f} s"
    if value < _HOUR:
        return f"{value // 60:.0f} m {value % 60:02.0f} s"
    return f"{value // 3600:.0f} h {value % 3600 // 60:02.0f} m"


def number(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}" if value < _LONG_NUMBER else f"{value / 1e6:,.1f}M"


def dollars(microusd: int) -> str:
    """A cost, in cents where it has any to speak of."""
    return f"${microusd / 1e6:,.2f}" if microusd >= _DOLLAR else f"${microusd / 1e6:.4f}"


def plural(count: int, word: str) -> str:
    """`1 call`, `2 calls`, `2 retries`."""
    if count == 1:
        return f"1 {word}"
    return (
        f"{number(count)} {word[:-1]}ies"
        if word.endswith("ry")
        else f"{number(count)} {word}{'es' if word.endswith('s') else 's'}"
    )


def colourful(stream: TextIO, *, refused: bool) -> bool:
    """Whether to colour what goes to ``stream``: only a terminal's, and only where nobody asked not to."""
    return not refused and stream.isatty() and not config.plain_output()


def painted(parts: Iterable[Part], *, colours: bool) -> str:
    """A line from its parts, without blanks at its end."""
    told = list(parts)
    while told and not told[-1].text.strip():
        told.pop()
    if not colours:
        return "".join(part.text for part in told).rstrip()
    return "".join(f"\x1b[{STYLES[p.style]}m{p.text}\x1b[0m" if p.style and p.text.strip() else p.text for p in told)


def put(text: str, stream: TextIO | None = None) -> None:
    """Write lines to stdout, or to ``stream``, in what its encoding can say."""
    stream = stream or cast("TextIO", sys.stdout)
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    stream.write(f"{text}\n")
