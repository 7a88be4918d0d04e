# SPDX-License-Identifier: Apache-2.0
"""A command's arguments: what a flag, an assignment or a header names as a secret goes, also across two arguments.

Value rules see one argument at a time; `--password`, `hunter2` are two. Each argument passes the policy all the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from . import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .policy import Policy

# What the name of every secret holds: a quick look before the rest.
_STEMS: Final = (
    *("pass", "pwd", "secret", "token", "key", "auth", "cookie", "credential", "bearer", "jwt", "sas", "connection"),
    *("otp", "mfa", "ssn", "social", "card", "cvv", "cvc", "iban"),
)
_REDACTED: Final = "REDACTED"
_LONGEST_SEEN = 8192
# A flag with its value in the same text, an assignment, or a header: what stands before the value.
_NAMED = re.compile(r"(?<![\w.-])(?:--?[A-Za-z][\w.-]*(?:=|[ \t]+)|[A-Za-z_][\w.-]*(?:=|:[ \t]*))")
_VALUE = re.compile(r"\"(?:[^\"\\]|\\.)*\"?|'[^']*'?|[^\s\"'`;|&<>()]+")
_HEADER_VALUE = re.compile(r"[^\"'\r\n]+")
_FLAG = re.compile(r"--?[A-Za-z][\w.-]*\Z")
_USER_FLAGS = frozenset({"-u", "--user", "--proxy-user", "-U"})
# Programs whose `-p` takes a password, attached or as the next argument.
_PASSWORD_P = frozenset({"sshpass", "mysql", "mysqldump", "mysqladmin", "mariadb"})


def redact_argv(program: str, words: Sequence[str], policy: Policy) -> tuple[list[str], list[int]]:
    """``words`` (the arguments of ``program``) as they may leave, and the indices of those that changed.

    An argument longer than 8,192 characters is cut there before it is looked at.
    """
    joined = "\0".join(words)
    seen = list(words) if len(joined) <= _LONGEST_SEEN else [word[:_LONGEST_SEEN] for word in words]
    if program not in _PASSWORD_P and _USER_FLAGS.isdisjoint(seen) and not _may_name(joined):
        told = [policy.text(word) for word in seen]
    else:
        told = _named(program, seen, policy)
    if told == seen:
        return told, []
    return told, [index for index, word in enumerate(seen) if told[index] != word]


def _named(program: str, words: Sequence[str], policy: Policy) -> list[str]:
    told: list[str] = []
    secret_next = user_next = False
    password_p = program in _PASSWORD_P
    for word in words:
        dashed = word.startswith("-")
        if secret_next and not dashed:
            told.append(_REDACTED)
        elif user_next and ":" in word:
            told.append(f"{word.partition(':')[0]}:{_REDACTED}")
        elif password_p and word.startswith("-p") and len(word) > 2:  # noqa: PLR2004 - more than the flag
            told.append(f"-p{_REDACTED}")
        else:
            told.append(policy.text(redact_line(word)))
        secret_next = dashed and _is_secret_flag(word, password_p=password_p)
        user_next = dashed and word in _USER_FLAGS
    return told


def _may_name(text: str) -> bool:
    low = text.lower()
    for stem in _STEMS:  # noqa: SIM110 - a fifth of the price of `any`, or of a pattern that ignores case
        if stem in low:
            return True
    return False


def _is_secret_flag(word: str, *, password_p: bool) -> bool:
    if password_p and word == "-p":
        return True
    return _FLAG.match(word) is not None and keys.judge(word.lstrip("-")).secret


def redact_line(text: str) -> str:
    """A line for a shell, or one argument, without the values of what is named as a secret in it."""
    if not _may_name(text):
        return text
    pieces: list[str] = []
    done = 0
    for found in _NAMED.finditer(text):
        named, start = found.group(), found.end()
        if start <= done or not keys.judge(named.strip("-=: \t")).secret:
            continue
        header = named.rstrip()[-1] == ":"
        value = (_HEADER_VALUE if header else _VALUE).match(text, start)
        if value is None or (value.group().startswith("-") and named[-1] in " \t" and not header):
            continue
        pieces += (text[done:start], _REDACTED)
        done = value.end()
    return "".join((*pieces, text[done:])) if pieces else text
