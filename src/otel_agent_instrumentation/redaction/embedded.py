# SPDX-License-Identifier: Apache-2.0
"""Key rules inside text: fields of JSON (escaped to any depth), of a Python ``repr``, of a URL's query or a form.

Messages, tool arguments and exceptions carry structures as text. A field is found by its ``":`` and judged by the
same key rules as an attribute; the text is never parsed as a whole, so it may be cut off or not JSON at all, and
valid JSON stays valid.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .formats import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from .keys import Decision

_LONGEST_KEY = 80
_STRUCTURE = re.compile(r"[\"'\[\]{}]")
_SCALAR = re.compile(r"[^\s,}\]\"'\\]+")
_NUMBER = re.compile(r"-?[0-9][0-9.eE+-]*\Z")
_SPACE = re.compile(r"(?:\s|\\+[nrt])*")
_QUERY_VALUE = re.compile(r"[^&\s\"'<>#\\]*")
# What the name of every secret field holds, whatever the key rules: a quick look before the cached decision.
_STEM = re.compile(r"pass|pwd|secret|token|key|auth|cookie|credential|bearer|jwt|sas|connection", re.IGNORECASE)
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.%-"
# In a query these short names carry credentials too: `?key=`, `&sig=`, `X-Amz-Signature`.
_QUERY_SECRETS = frozenset({"key", "sig", "signature", "x-amz-signature", "x-amz-credential", "x-amz-security-token"})
_MASKED = ("", REDACTED)


def redact_fields(text: str, judge: Callable[[str], Decision]) -> str:
    """Return ``text`` with the values of its secret fields replaced; the same object where there are none."""
    for quote in ('"', "'"):
        if quote + ":" in text and _has_secret_field(text, quote, judge):
            text = _redact_fields(text, quote, judge)
    if "=" in text and ("?" in text or "&" in text):
        return _redact_query(text, judge)
    return text


def _has_secret_field(text: str, quote: str, judge: Callable[[str], Decision]) -> bool:
    """Whether any field has a secret name: the quick look at text that mostly has none."""
    parts = text.split(quote + ":")
    del parts[-1]
    # Each name once: a list of messages repeats a handful of names a hundred times.
    names = {part[part.rfind(quote, -_LONGEST_KEY) + 1 :] for part in parts}
    return any(_field_name(quote + name.rstrip("\\"), quote, judge) for name in names if len(name) < _LONGEST_KEY)


def _field_name(window: str, quote: str, judge: Callable[[str], Decision]) -> Decision | None:
    """Return the decision for the field whose name ends ``window``, if it is a secret's."""
    start = window.rfind(quote) + 1
    if not start or not _STEM.search(window, start):
        return None
    decision = judge(window[start:])
    return decision if decision.secret else None


def _redact_fields(text: str, quote: str, judge: Callable[[str], Decision]) -> str:
    pieces: list[str] = []
    done = 0
    at = text.find(quote + ":")
    while at >= 0:
        key_end = at - _backslashes(text, at)
        decision = _field_name(text[max(done, key_end - _LONGEST_KEY) : key_end], quote, judge)
        end = at + 2
        if decision is not None:
            start = _SPACE.match(text, end).end()  # pyright: ignore[reportOptionalMemberAccess] - matches ""
            value_start, end, masked = _mask_value(text, start, text[key_end : at + 1], decision)
            pieces += (text[done:value_start], masked)
            done = end
        at = text.find(quote + ":", end)
    return "".join((*pieces, text[done:])) if pieces else text


def _mask_value(text: str, start: int, quote: str, decision: Decision) -> tuple[int, int, str]:
    """Return where the value that begins at ``start`` stands and what replaces it.

    ``quote`` is the quotation mark of the field's name with the backslashes before it.
    """
    opened = text[start : start + len(quote)]
    if opened[:-1] == quote[:-1] and opened[-1:] in {'"', "'"}:
        end = _string_end(text, start + len(quote), opened)
        inner = text[start + len(quote) : end]
        return start + len(quote), end, inner if inner in _MASKED else REDACTED
    if text[start : start + 1] in {"[", "{"}:
        return start, _container_end(text, start, quote), quote + REDACTED + quote
    scalar = _SCALAR.match(text, start)
    if scalar is None:
        return start, start, ""
    word = scalar.group()
    keep = word in {"null", "true", "false", "None", "True", "False", REDACTED}
    if keep or (decision.keep_numbers and _NUMBER.match(word)):
        return start, start, ""
    end = scalar.end()
    if quote == "'" and text[end : end + 1] in {'"', "'"}:
        # A repr: `b'...'`, `SecretStr('...')`.
        end = _string_end(text, end + 1, text[end]) + 1
    return start, end, quote + REDACTED + quote


def _backslashes(text: str, at: int) -> int:
    """Return how many backslashes stand before ``at``."""
    start = at
    while start and text[start - 1] == "\\":
        start -= 1
    return at - start


def _string_end(text: str, at: int, quote: str) -> int:
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
            at = _string_end(text, at, quote[:-1] + character) + len(quote)
        else:
            depth += 1 if character in "[{" else -1
            if not depth:
                return at
    return len(text)


def _redact_query(text: str, judge: Callable[[str], Decision]) -> str:
    pieces: list[str] = []
    done = 0
    at = text.find("=")
    while at >= 0:
        end = at + 1
        if _is_query_secret(text[max(done, at - _LONGEST_KEY) : at], judge):
            end = _QUERY_VALUE.match(text, at + 1).end()  # pyright: ignore[reportOptionalMemberAccess] - matches ""
            if text[at + 1 : end] not in _MASKED:
                pieces += (text[done : at + 1], REDACTED)
                done = end
        at = text.find("=", end)
    return "".join((*pieces, text[done:])) if pieces else text


def _is_query_secret(window: str, judge: Callable[[str], Decision]) -> bool:
    """Whether the name that ends ``window`` says that its value is secret."""
    start = len(window.rstrip(_NAME_CHARACTERS))
    key = window[start:]
    if key.lower() in _QUERY_SECRETS and window[start - 1 : start] in {"?", "&", ";"}:
        return True
    return _STEM.search(key) is not None and judge(key).secret
