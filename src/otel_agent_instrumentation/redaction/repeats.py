# SPDX-License-Identifier: Apache-2.0
"""Texts with something to replace that came before: conversation history is sent again with every call.

Known by a keyed digest: what was secret in them is not kept.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Final

_BYTES: Final = 1 << 20
_LONGEST: Final = 1 << 16
_ENTRY: Final = 400
"""About what an entry takes beside its text."""


class Repeats:
    """What stands for such texts, and the rules that found something in them. Safe to share between threads."""

    __slots__ = ("_bytes", "_found", "_key")

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self._found: dict[int, tuple[bytes, str, tuple[str, ...]]] = {}
        self._bytes = 0

    def get(self, text: str) -> tuple[str, tuple[str, ...]] | None:
        """Return what stands for ``text``, and the rules. One look-up, but for a text that is known."""
        found = self._found.get(hash(text))
        # Who chooses texts may choose them of one hash: only the digest says that it is this one.
        if found is None or found[0] != self._digest(text):
            return None
        return found[1:]

    def put(self, text: str, redacted: str, rules: list[str]) -> None:
        """Note what stands for ``text``."""
        size = _ENTRY + str.__sizeof__(redacted)
        if size > _LONGEST:
            return
        self._bytes += size
        if self._bytes > _BYTES:
            self._found.clear()
            self._bytes = size
        self._found[hash(text)] = (self._digest(text), redacted, tuple(rules))

    def clear(self) -> None:
        """Forget all: the rules are others now."""
        self._found.clear()
        self._bytes = 0

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
