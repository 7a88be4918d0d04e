# SPDX-License-Identifier: Apache-2.0
"""What stands in place of a secret: a word, a keyed hash by which equal ones stay joinable, or nothing.

The key is made once an installation, so that the hash of a short number cannot be found by trying all numbers, and is
kept in a file that its owner alone can read. It is read at the first secret whose rule asks for a hash.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.contain import warn_once
from .paths import REDACTED
from .rules import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Mode, Settings

_KEY_BYTES = 32
_HASH_BYTES = 6


class Marks:
    """Replacements by rule, and the user's list of what is no secret."""

    def __init__(self, settings: Settings, kinds: Mapping[str, str]) -> None:
        """Follow ``settings``; ``kinds``: rule to kind. The mode of a rule wins over its kind's."""
        chosen = settings.redaction
        for name in chosen.modes:
            if name not in kinds and name not in {*kinds.values(), KEY, "secret", "pii", "user"}:
                warn_once(f"redaction.mode:{name}", "otel-agent: `redaction.modes.%s`: there is no such rule.", name)
        self._mode: Final = settings.redaction_mode
        self._modes: Final = dict(chosen.modes)
        self._kinds: Final = dict(kinds)
        self._chosen: Final[dict[str, Mode]] = {}
        self._given: Final = settings.redaction_key
        self._file: Final = settings.redaction_key_file
        self._key: bytes | None = None
        self.allow: Final = _allowed(chosen.allow)
        """What the user said is no secret; None where nothing was said."""

    def mode(self, rule: str) -> Mode:
        """Return what ``rule`` does to what it finds."""
        mode = self._chosen.get(rule)
        if mode is None:
            modes = self._modes
            mode = modes.get(rule) or modes.get(self._kinds.get(rule, "secret")) or self._mode
            self._chosen[rule] = mode
        return mode

    def allows(self, secret: str) -> bool:
        """Whether the user said that ``secret`` is none."""
        return self.allow is not None and self.allow.fullmatch(secret) is not None

    def mark(self, rule: str, secret: Any) -> str | None:
        """Return what stands for ``secret``, found by ``rule``; None where it is left out without a trace."""
        mode = self.mode(rule)
        if mode == "literal":
            return REDACTED
        if mode == "drop":
            return None
        told = secret if isinstance(secret, str) else repr(secret)
        if self._key is None:
            self._key = self._load()
        import hashlib

        digest = hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES, key=self._key)
        return f"{REDACTED}:{rule}:{digest.hexdigest()}"

    def _load(self) -> bytes:
        import hashlib

        if self._given:
            return hashlib.blake2b(self._given.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
        path = Path(self._file).expanduser() if self._file else None
        if path is None:
            return os.urandom(_KEY_BYTES)
        try:
            return _read_or_make(path)
        except (OSError, RuntimeError, ValueError) as error:
            warn_once(
                "redaction.key",
                "otel-agent: the key of redaction's hashes cannot be kept in %s (%s): hashes are joinable within this "
                "process only. Name another file by OTEL_AGENT_REDACTION_KEY_FILE.",
                path,
                type(error).__name__,
            )
            return os.urandom(_KEY_BYTES)


def _read_or_make(path: Path) -> bytes:
    for _ in range(2):
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            _make(path)
            continue
        if len(key) != _KEY_BYTES:
            raise ValueError("not a key")
        return key
    raise FileNotFoundError(path)


def _make(path: Path) -> None:
    """Write a new key: whole or not at all, so that two processes that begin at once share one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        os.write(file, os.urandom(_KEY_BYTES))
    finally:
        os.close(file)
    try:
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()


def _allowed(allow: Sequence[str]) -> re.Pattern[str] | None:
    good: list[str] = []
    for pattern in allow:
        try:
            re.compile(pattern)
            good.append(f"(?:{pattern})")
        except re.error as error:
            warn_once(
                f"redaction.allow:{pattern}",
                "otel-agent: `redaction.allow`: %r is not a regular expression (%s); it is ignored.",
                pattern,
                error,
            )
    return re.compile("|".join(good)) if good else None
