# SPDX-License-Identifier: Apache-2.0
"""Checks of a match that a pattern cannot make: check digits, issuers, randomness, context.

Each takes the text as ASCII bytes and the match's start and end, and returns the part that goes, or None.
"""

from __future__ import annotations

import binascii
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

Span = tuple[int, int]
Check = Callable[[bytes, int, int], "Span | None"]

_DIGITS: Final = b"0123456789"
_NOT_DIGITS: Final = bytes(byte for byte in range(256) if byte not in _DIGITS)


def digits_of(data: bytes) -> list[int]:
    """Return the digits in ``data``."""
    return [byte - 0x30 for byte in data.translate(None, _NOT_DIGITS)]


_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")
"""A digit's double, or the sum of that one's digits."""


def luhn(digits: bytes) -> bool:
    """Whether the last digit is Luhn's of the others (ISO/IEC 7812-1)."""
    return (sum(digits[::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - 0x30 * len(digits)) % 10 == 0


# Issuer prefixes (from, to) with the lengths that they issue.
_ISSUERS: Final = (
    ("4", "4", {16, 19}),
    ("51", "55", {16}),
    ("2221", "2720", {16}),
    ("34", "34", {15}),
    ("37", "37", {15}),
    ("300", "305", {14}),
    ("36", "36", {14}),
    ("38", "39", {14}),
    ("6011", "6011", {16, 19}),
    ("644", "659", {16, 19}),
    ("3528", "3589", {16, 19}),
    ("62", "62", {16, 17, 18, 19}),
)


def card(data: bytes, start: int, end: int) -> Span | None:
    """A payment card's number: an issuer's prefix and length, Luhn, one kind of separator, or none."""
    found = data[start:end]
    digits = found.translate(None, _NOT_DIGITS)
    if not luhn(digits) or (b" " in found and b"-" in found):
        return None
    if len(digits) != len(found) and not re.fullmatch(
        rb"\d{4}([ -])(?:\d{4}\1){2}\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}", found
    ):
        return None
    number = digits.decode()
    for low, high, lengths in _ISSUERS:
        if low <= number[: len(low)] <= high and len(number) in lengths:
            return (start, end) if len(set(number)) > 1 else None
    return None


# Lengths by country (ISO 13616 registry).
_IBAN: Final = {
    country: length
    for length, countries in (
        (15, "NO"), (16, "BE"), (18, "DK FI FO GL NL"), (19, "MK SI"), (20, "AT BA EE KZ LT LU XK MN"),
        (21, "CH HR LI LV"), (22, "BG BH CR DE GB GE IE ME RS VA"), (23, "AE GI IL IQ TL OM SO"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"), (25, "LY PT ST"), (26, "IS TR"), (27, "FR GR IT MC MR SM BI"),
        (28, "AL AZ BY CY DO GT HU LB NI PL SV"), (29, "BR EG PS QA UA"), (30, "JO KW MU YE"), (31, "MT SC"),
        (32, "LC"), (33, "RU"),
    )
    for country in countries.split()
}  # fmt: skip


def iban(data: bytes, start: int, end: int) -> Span | None:
    """An IBAN: its country's length, remainder 1 by 97. A match may have run into the next word."""
    length = _IBAN.get(data[start : start + 2].decode())
    if length is None:
        return None
    at = start
    for _ in range(length):
        while at < end and data[at : at + 1] == b" ":
            at += 1
        at += 1
    if at > end or data[at : at + 1].isalnum():
        return None
    compact = data[start:at].replace(b" ", b"").decode()
    number = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return (start, at) if int(number) % 97 == 1 else None


def phone(data: bytes, start: int, end: int) -> Span | None:
    """A number in E.164: 8 to 15 digits. Without separators at least 10: a signed integer is no telephone."""
    found = data[start:end]
    count = len(digits_of(found))
    plain = count == len(found) - 1
    return (start, end) if (10 if plain else 8) <= count <= 15 else None  # noqa: PLR2004 - E.164


_FILES: Final = frozenset(
    b"png jpg jpeg gif svg webp ico py js ts css html md txt json xml yml yaml toml lock sh so dll exe service local "
    b"localhost internal invalid target timer socket mount".split()
)
_ROBOTS: Final = re.compile(rb"(?:no-?reply|do-?not-?reply|git|postmaster|mailer-daemon)\Z", re.IGNORECASE)
_URL_BEFORE: Final = re.compile(rb"://[^\s/\"'<>]{0,255}\Z")


def email(data: bytes, start: int, end: int) -> Span | None:
    """An address of a person: not a robot's, not the user of a URL, not ``icon@2x.png``."""
    at = data.index(b"@", start)
    local, ending = data[start:at], data[data.rindex(b".", at, end) + 1 : end].lower()
    start += len(local) - len(local.lstrip(b"._%+-"))
    if start == at or ending in _FILES or _ROBOTS.match(data[start:at]) or data[start:at].startswith(b"REDACTED"):
        return None
    return None if _URL_BEFORE.search(data, max(0, start - 260), start) else (start, end)


def de_tax_id(data: bytes, start: int, end: int) -> Span | None:
    """A German tax id: one digit two or three times among the first ten, ISO 7064 MOD 11,10."""
    digits = digits_of(data[start:end])
    repeats = sorted(count for count in Counter(digits[:10]).values() if count > 1)
    if repeats not in ([2], [3]):
        return None
    product = 10
    for digit in digits[:10]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (start, end) if (11 - product) % 10 == digits[10] else None


def fr_nir(data: bytes, start: int, end: int) -> Span | None:
    """A French NIR: its last two digits are 97 minus the rest by 97; Corsica's 2A and 2B count as 19 and 18."""
    compact = data[start:end].replace(b" ", b"").replace(b"2A", b"19").replace(b"2B", b"18")
    if len(compact) != 15 or not compact.isdigit():  # noqa: PLR2004 - 13 and the key
        return None
    return (start, end) if 97 - int(compact[:13]) % 97 == int(compact[13:]) else None


def es_dni(data: bytes, start: int, end: int) -> Span | None:
    """A Spanish DNI or NIE: its letter is the number by 23."""
    compact = data[start:end].replace(b"-", b"")
    number = int(compact[:-1].replace(b"X", b"0").replace(b"Y", b"1").replace(b"Z", b"2"))
    return (start, end) if b"TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == compact[-1] else None


_CF_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def it_cf(data: bytes, start: int, end: int) -> Span | None:
    """An Italian codice fiscale: its last letter is the sum of the values of the others by 26."""
    total = 0
    for place, byte in enumerate(data[start : end - 1]):
        value = byte - 0x30 if byte < 0x41 else byte - 0x41  # noqa: PLR2004 - digits, then letters
        total += _CF_ODD[value] if place % 2 == 0 else value
    return (start, end) if data[end - 1] == 0x41 + total % 26 else None


def br_cpf(data: bytes, start: int, end: int) -> Span | None:
    """A Brazilian CPF: two check digits by 11; not one digit eleven times."""
    digits = digits_of(data[start:end])
    for known in (9, 10):
        rest = sum(digit * (known + 1 - place) for place, digit in enumerate(digits[:known])) * 10 % 11 % 10
        if rest != digits[known]:
            return None
    return (start, end) if len(set(digits)) > 1 else None


_DIHEDRAL: Final = tuple(
    tuple((a + b) % 5 + 5 * (b > 4) if a < 5 else (a - b) % 5 + 5 * (b < 5) for b in range(10))  # noqa: PLR2004
    for a in range(10)
)
_PERMUTED: Final = ((0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4))


def _permutation(place: int, digit: int) -> int:
    for _ in range(place % 8):
        digit = _PERMUTED[1][digit]
    return digit


def verhoeff(data: bytes, start: int, end: int) -> Span | None:
    """An Aadhaar: Verhoeff's check digit."""
    total = 0
    for place, digit in enumerate(reversed(digits_of(data[start:end]))):
        total = _DIHEDRAL[total][_permutation(place, digit)]
    return (start, end) if total == 0 else None


_CALM: Final = 4
RANDOM_LENGTH: Final = 16
_FEW: Final = 5
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_HEX: Final = re.compile(rb"[0-9a-fA-F]{16,}\Z")
_WORD = r"(?:(?:[A-Z]?[a-z]+|[A-Z]+)[0-9]{0,2}|[0-9]{1,2})"
_WORDS: Final = re.compile(rf"{_WORD}(?:[_./-]{_WORD})*\Z".encode())


def looks_random(token: bytes) -> bool:
    """Whether ``token`` is what a generator made: hex, a UUID, or letters and digits without a word's order.

    Shannon's entropy alone calls every other identifier a secret; words joined by separators are none.
    """
    if len(token) < RANDOM_LENGTH or len(set(token)) < _FEW or len(token.translate(None, _DIGITS)) == len(token):
        return False
    if _HEX.match(token) or _UUID.match(token):
        return True
    if _WORDS.match(token):
        return False
    counts = Counter(token).values()
    entropy = -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
    return entropy >= min(3.5, math.log2(len(token)) - 0.9)


def varied(data: bytes, start: int, end: int) -> Span | None:
    """A token of letters and digits mixed: at least two digits, and capitals or four digits."""
    token = data[start:end]
    digits = sum(byte in _DIGITS for byte in token)
    mixed = digits >= 2 and (digits >= _CALM or token != token.lower())  # noqa: PLR2004 - `sk-fade-dot-1` is a class
    return (start, end) if mixed and len(set(token)) >= 8 else None  # noqa: PLR2004 - not zeros in base64


def digit(data: bytes, start: int, end: int) -> Span | None:
    """A token with a digit in it."""
    token = data[start:end]
    return (start, end) if len(token.translate(None, _DIGITS)) < len(token) else None


def random(data: bytes, start: int, end: int) -> Span | None:
    """See `looks_random`."""
    return (start, end) if looks_random(data[start:end]) else None


def basic(data: bytes, start: int, end: int) -> Span | None:
    """What decodes to ``user:password``: "basic" is a common word."""
    encoded = data[start:end].rstrip(b"=")
    try:
        decoded = binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4)).decode()
    except ValueError:
        return None
    return (start, end) if ":" in decoded and decoded.isprintable() else None


_PART_END: Final = re.compile(rb"\r?\n--|\Z")
_PART_END_ESCAPED: Final = re.compile(rb"(?:\\+r)?\\+n--|\\*[\"']|\Z")
_HEADERS: Final = 512


def multipart(data: bytes, start: int, end: int) -> Span | None:
    """The content of a form's part whose name, which matched, is a secret's."""
    from . import keys

    if not keys.judge(data[start:end].decode()).secret:
        return None
    head = _PART_HEAD.match(data, end, end + _HEADERS)
    if head is None:
        return None
    # Within JSON the part ends with its string at the latest; on the wire it may hold quotes.
    tail = (_PART_END_ESCAPED if data.endswith(b"n", 0, head.end()) else _PART_END).search(data, head.end())
    until = tail.start() if tail is not None else len(data)
    return (head.end(), until) if until > head.end() and not data.startswith(b"REDACTED", head.end()) else None


# What is left of the part's headers, then an empty line; in JSON all of it is escaped.
_PART_HEAD: Final = re.compile(
    rb"[^\r\n\\]{0,200}(?:\\+\"[^\r\n\\]{0,200}){0,4}(?:(?:\r?\n|\\+r\\+n|\\+n)[A-Za-z-]{1,64}:[^\r\n\\]{0,200})*(?:\r?\n|\\+r\\+n|\\+n){2}"
)


_FLAG: Final = re.compile(rb"(?:^|\\[nrt]|[\s\"'`(=\[])--?[a-z][a-z-]{0,40}(?:=| +|\\*[\"'], ?\\*[\"'])[\"']?\Z")


def flag(data: bytes, start: int, end: int) -> Span | None:
    """The value of a command's flag: ``--db-password x``, not ``the reset-password page``."""
    if data.startswith((b"$", b"<", b"{", b"REDACTED"), start):
        return None
    end -= len(data[start:end]) - len(data[start:end].rstrip(b")]},;"))
    return (start, end) if end > start and _FLAG.search(data, max(0, start - 60), start) else None


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (card, iban, phone, email, de_tax_id, fr_nir, es_dni, it_cf, br_cpf, verhoeff, varied, digit, random)
} | {"basic": basic, "multipart": multipart, "flag": flag}
