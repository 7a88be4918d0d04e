# SPDX-License-Identifier: Apache-2.0
"""The built-in value rules: the few formats that cannot be mistaken for anything but a secret.

A conservative stand-in for the full rule set, behind the same interface (``str -> str``). Almost every format
holds a run of 16 or more token characters, so most clean text is recognised by two passes in C before a pattern
runs. Each pattern begins with a literal, which lets ``re`` search at the speed of ``str.find``, and takes a number
of steps linear in the text, whatever the text: no failed attempt looks further than a bounded window.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTED: Final = "REDACTED"

_RUN = 16
_TOKEN_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/"
_TO_RUNS = bytes(0x61 if byte in _TOKEN_CHARACTERS else 0x20 for byte in range(256))
_NEEDLE = b"a" * _RUN
_DIGIT_AHEAD = r"(?=[A-Za-z._~+/-]{0,80}[0-9])"
_SAME = r"\g<1>" + REDACTED


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str] = REDACTED


def _token(literal: str, rest: str, *, word: str = "A-Za-z") -> _Rule:
    """Return the rule for a token that begins with ``literal`` where a word may begin.

    Before it stands no character of ``word``, but for what an escape leaves there (a line break's ``n``, ``%3D``).
    The test comes after the literal, because a pattern that begins with a look-behind is searched ten times slower.
    """
    start = rf"(?:(?<![{word}]{literal})|(?<=\\[nrtbf]{literal})|(?<=%[0-9A-Fa-f]{{2}}{literal}))"
    return _Rule(re.compile(literal + start + rest))


def _basic(match: re.Match[str]) -> str:
    """Redact what follows ``Basic`` only if it decodes to ``user:password``: "basic" is a common word."""
    encoded = match.group(2)
    try:
        decoded = binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4)).decode()
    except ValueError:
        return match.group()
    return match.group(1) + REDACTED if ":" in decoded and decoded.isprintable() else match.group()


# Sources: vendors' documentation, as collected in the project's table of secret formats. Lengths are lower bounds
# only: vendors change them, and a bound above would leave the rest of a longer secret behind.
_TOKEN_RULES: Final = (
    # OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse and kin
    _token("sk-", r"(?=[A-Za-z_-]{0,80}[0-9])[A-Za-z0-9_-]{16,}"),
    # AWS access key ids
    _Rule(re.compile(r"A[KS]IA[A-Z2-7]{16,}")),
    # GitHub, classic and fine-grained
    _Rule(re.compile(r"gh[pousr]_[A-Za-z0-9]{30,}")),
    _Rule(re.compile(r"github_pat_[A-Za-z0-9_]{40,}")),
    # Slack
    _Rule(re.compile(r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}")),
    # Google API keys
    _Rule(re.compile(r"AIza[A-Za-z0-9_-]{35,}")),
    # Groq, Stripe, GitLab, Hugging Face
    _token("gsk_", r"[A-Za-z0-9]{40,}"),
    _token("sk_live_", r"[A-Za-z0-9]{20,}"),
    _token("rk_live_", r"[A-Za-z0-9]{20,}"),
    _Rule(re.compile(r"glpat-[A-Za-z0-9_-]{20,}")),
    _token("hf_", r"[A-Za-z]{30,}"),
    # JWT and JWE: header and payload are base64url of `{"`
    _token("eyJ", r"[A-Za-z0-9_-]{8,}(?:\.{1,2}[A-Za-z0-9_-]+){1,4}", word="A-Za-z0-9_-"),
    _Rule(
        re.compile(
            r"(earer(?<=[Bb]earer)(?:\s|%20|\+|\\[nrt]){1,8})(?!REDACTED\b)" + _DIGIT_AHEAD + r"[\w.~+/-]{16,}=*"
        ),
        _SAME,
    ),
    # PEM, whole or cut off; its line breaks may be escaped. Never further than base64 and headers reach.
    _Rule(
        re.compile(
            r"-----BEGIN (?:[A-Z]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"[A-Za-z0-9+/=\s\\:,]*(?:-(?!----)[A-Za-z0-9+/=\s\\:,]*)*(?:-----END [A-Z ]{1,60}-----)?"
        )
    ),
)
# One pass for a short text, as an id is; on a long one it is slower than the rules themselves.
_SHORT = 256
_ANY_LITERAL = re.compile(
    r"sk-|A[KS]IA|gh[pousr]_|github_pat_|xox|xapp-|AIza|gsk_|[sr]k_live_|glpat-|hf_|eyJ|earer|-----BEGIN "
)
# Header values whose secret may be shorter than a run.
_HEADER_RULES: Final = (
    _Rule(
        re.compile(
            r"(uthorization\W{0,4}[:=]\W{0,4}(?:[Bb]earer|[Bb]asic|[Tt]oken|Digest|ApiKey|AWS4-HMAC-SHA256)\s{1,4})"
            r"(?!REDACTED\b)[^\s\"'\\,;<>)\]}]{4,}"
        ),
        _SAME,
    ),
    _Rule(re.compile(r"(asic (?<=[Bb]asic )\s{0,8})(?!REDACTED\b)([A-Za-z0-9+/]{8,}={0,2})"), _basic),
)
# Credentials in a URL: scheme, user and host stay. The password may hold an `@`, never a `/`.
_USERINFO = re.compile(r"(://[^\s/:@?#\"'`<>\\]*:)(?!REDACTED@)[^\s/\"'`<>\\]+(?=@)")


def scan(text: str) -> str:
    """Return ``text`` with every unmistakable secret replaced; the same object where there is none."""
    clean = text
    if "@" in clean and "://" in clean:
        clean = _USERINFO.sub(_SAME, clean)
    if len(clean) < _RUN:
        return clean
    if _NEEDLE in clean.encode("utf-8", "replace").translate(_TO_RUNS) and (
        len(clean) > _SHORT or _ANY_LITERAL.search(clean)
    ):
        for pattern, replacement in _TOKEN_RULES:
            clean = pattern.sub(replacement, clean)
    if " " in clean:
        for pattern, replacement in _HEADER_RULES:
            clean = pattern.sub(replacement, clean)
    return text if clean == text else clean
