# SPDX-License-Identifier: Apache-2.0
"""The policy: what leaves the process, and what is replaced.

One object with one set of methods, used by the guard, the metrics and the ledger alike. Clean values come back as
the object that went in, so callers compare by identity and the usual case allocates nothing. It fails closed: a fault
in a rule replaces the value by ``REDACTED:error``, is counted, and never raises. Redacting twice equals once.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from ..core.contain import Contained
from . import keys
from .embedded import redact_fields
from .formats import REDACTED
from .formats import scan as builtin_scan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .keys import Decision

ERROR: Final = "REDACTED:error"
"""Stands for a value that a rule failed on."""

_TOO_DEEP: Final = "REDACTED:depth"
_MAX_DEPTH = 64
_MAX_PASSES = 4
_MAX_KEYS = 4096
_CLEAN_BYTES = 1 << 20
_CLEAN_LONGEST = 1 << 16

_SCALARS: Final = frozenset(
    {
        *(int, float, bool, type(None), complex),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID),
    }
)
_MASKED = re.compile(r"REDACTED(?::error|:depth|:[a-z0-9_-]{1,40}:[0-9a-f]{12})?\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")

_TEXT = Contained("redaction.text")
_WALK = Contained("redaction.value")
_KEY = Contained("redaction.key")


class Policy:
    """Redacts values by the name of their key and by what they hold. Safe to share between threads."""

    __slots__ = ("_clean", "_clean_bytes", "_counts", "_decisions", "_inner_decisions", "_judge", "_scan")

    def __init__(
        self,
        *,
        scan: Callable[[str], str] = builtin_scan,
        judge: Callable[[str], Decision] = keys.judge,
    ) -> None:
        """Build a policy of value rules ``scan`` (text to text) and key rules ``judge`` (name to decision)."""
        self._scan = scan
        self._judge = judge
        # Names of attributes and of fields inside text apart: hostile text may churn its own cache only.
        self._decisions: dict[str, Decision] = {}
        self._inner_decisions: dict[str, Decision] = {}
        self._clean: set[str] = set()
        self._clean_bytes = 0
        self._counts = {"key": 0, "value": 0, "error": 0}

    def text(self, text: str) -> str:
        """Return ``text`` with the secrets in it replaced; the same object if it has none."""
        if type(text) is str and text in self._clean:
            return text
        with _TEXT:
            plain = text if type(text) is str else str.__str__(text)
            redacted = self._rules(plain)
            if redacted == plain:
                self._remember(plain)
                return text
            # What a replacement brings together may match again; repeated until redacting twice equals once.
            for _ in range(_MAX_PASSES):
                once, redacted = redacted, self._rules(redacted)
                if redacted == once:
                    break
            else:
                redacted = ERROR
            self._remember(redacted)
            self._counts["value"] += 1
            return redacted
        self._counts["error"] += 1
        return ERROR

    def value(self, key: str, value: Any) -> Any:
        """Return ``value`` as it may leave under ``key``; the same object if nothing in it is secret."""
        with _WALK:
            decision = self._decide(key)
            return self._mask(value, decision) if decision.secret else self._walk(value, 0)
        self._counts["error"] += 1
        return ERROR

    def attributes(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return ``attributes`` redacted: the same object if clean, else a new ``dict``."""
        with _WALK:
            return self._mapping(attributes, 0)
        # A fault outside a rule, of a foreign mapping or value: one by one, so that one value is lost and not all.
        with _WALK:
            return {str(key): self.value(str(key), attributes[key]) for key in attributes}
        self._counts["error"] += 1
        return {}

    def payload(self, obj: Any, path: str = "$") -> tuple[Any, list[str]]:
        """Return ``obj`` redacted (the same object if clean) and the JSON paths of what was replaced, sorted."""
        with _WALK:
            redacted = self._walk(obj, 0)
            if redacted is obj:
                return obj, []
            paths: set[str] = set()
            _differences(obj, redacted, path, paths)
            return redacted, sorted(paths)
        self._counts["error"] += 1
        return ({"error": ERROR} if isinstance(obj, Mapping) else ERROR), [path]

    def counts(self) -> dict[str, int]:
        """Return how many values went by key rule, by value rule and by a fault. A copy."""
        return dict(self._counts)

    def _rules(self, text: str) -> str:
        redacted = self._scan(redact_fields(text, self._decide_inner))
        if type(redacted) is not str:
            raise TypeError(type(redacted).__name__)
        return redacted

    def _decide(self, key: str) -> Decision:
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._judge(key)
            name = self.text(key)
            if name is not key:
                decision = decision._replace(name=name)
            _keep(self._decisions, key, decision)
        return decision

    def _decide_inner(self, key: str) -> Decision:
        decision = self._inner_decisions.get(key)
        if decision is None:
            decision = self._judge(key)
            _keep(self._inner_decisions, key, decision)
        return decision

    def _remember(self, text: str) -> None:
        """Note that ``text`` holds nothing secret, so that what is sent again is not scanned again."""
        size = str.__sizeof__(text)
        if size > _CLEAN_LONGEST:
            return
        self._clean_bytes += size
        if self._clean_bytes > _CLEAN_BYTES:
            self._clean = set()
            self._clean_bytes = size
        self._clean.add(text)

    def _mask(self, value: Any, decision: Decision) -> Any:
        """Return what stands for ``value`` under a secret key: nothing is hidden where there is nothing to hide."""
        if value is None or isinstance(value, bool) or (decision.keep_numbers and isinstance(value, _numbers())):
            return value
        if isinstance(value, (str, bytes, list, tuple, dict)) and len(cast("Any", value)) == 0:
            return cast("Any", value)
        if isinstance(value, str) and _MASKED.match(value):
            return value
        self._counts["key"] += 1
        return REDACTED

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> Mapping[Any, Any]:
        """The hot path: for a clean mapping one look-up a key, one a string, and no allocation."""
        decisions, clean = self._decisions, self._clean
        changed: dict[Any, Any] | None = None
        for key, value in mapping.items():
            decision = decisions.get(key)
            if decision is None:
                decision = self._decide(key if type(key) is str else str(key))
            if decision is keys.PLAIN:
                kind = type(value)  # pyright: ignore[reportUnknownVariableType]
                if value in clean if kind is str else kind in _SCALARS:
                    continue
                redacted = self._walk(value, depth + 1)
            else:
                redacted = self._mask(value, decision) if decision.secret else self._walk(value, depth + 1)
            if redacted is value and decision.name is None:
                continue
            if changed is None:
                changed = dict(mapping)
            if decision.name is not None:
                del changed[key]
                key = decision.name  # noqa: PLW2901 - the entry moves to its redacted name
            changed[key] = redacted
        return mapping if changed is None else changed

    def _walk(self, value: Any, depth: int) -> Any:  # noqa: PLR0911 - one a type
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            return value if value in self._clean else self.text(value)
        if kind in _SCALARS:
            return value
        if depth > _MAX_DEPTH:
            return _TOO_DEEP
        if isinstance(value, (list, tuple)):
            return self._sequence(cast("Sequence[Any]", value), depth)
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[Any, Any]", value), depth)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (bytes, bytearray)):
            text = bytes(value).decode("utf-8", "surrogateescape")
            redacted = self.text(text)
            return value if redacted is text else redacted.encode("utf-8", "surrogateescape")
        return value if isinstance(value, (int, float)) or kind in _numbers() else self._other(value, depth)

    def _sequence(self, items: Sequence[Any], depth: int) -> Sequence[Any]:
        changed: list[Any] | None = None
        for index, item in enumerate(items):
            redacted = self._walk(item, depth + 1)
            if redacted is not item:
                if changed is None:
                    changed = list(items)
                changed[index] = redacted
        if changed is None:
            return items
        return changed if isinstance(items, list) else tuple(changed)

    def _other(self, value: Any, depth: int) -> Any:
        """Return an object of another type as plain data, since how it is encoded later is not ours to know."""
        return self._walk(_plain(value), depth + 1)


def _numbers() -> tuple[type, ...]:
    """The types of numbers. Where nobody has imported `decimal`, which takes 2 ms, no value is of its."""
    found: Any = getattr(sys.modules.get("decimal"), "Decimal", None)
    return (int, float) if found is None else (int, float, found)


def default_policy() -> Policy:
    """Return the process's policy: one object, so that its caches and its counts are one."""
    return _DEFAULT


_DEFAULT: Final = Policy()


def _keep(cache: dict[str, Decision], key: str, decision: Decision) -> None:
    if len(cache) >= _MAX_KEYS:
        cache.clear()
    # The identity of PLAIN is the hot path's test.
    cache[key] = keys.PLAIN if decision == keys.PLAIN else decision


def _plain(value: Any) -> Any:
    """Return ``value`` as plain data: a dataclass as a mapping, a set as a list, the unknown as its text."""
    import msgspec

    try:
        return msgspec.to_builtins(value, builtin_types=(bytes, bytearray), str_keys=False)
    except (TypeError, ValueError):
        return str(value)


def _differences(old: Any, new: Any, path: str, paths: set[str]) -> None:
    """Collect into ``paths`` where ``new``, which was redacted from ``old``, differs from it."""
    if new is old:
        return
    if isinstance(new, dict) and isinstance(old, Mapping):
        before = cast("Mapping[Any, Any]", old)
        for key, value in cast("dict[Any, Any]", new).items():
            step = f".{key}" if isinstance(key, str) and _IDENTIFIER.match(key) else f"[{key!r}]"
            if key in before:
                _differences(before[key], value, path + step, paths)
            else:
                paths.add(path + step)
    elif isinstance(new, (list, tuple)) and isinstance(old, (list, tuple)):
        for index, (was, value) in enumerate(zip(cast("list[Any]", old), cast("list[Any]", new), strict=True)):
            _differences(was, value, f"{path}[{index}]", paths)
    elif isinstance(old, (str, bytes, bytearray, int, float)) or isinstance(new, str):
        if new != old:
            paths.add(path)
    else:
        _differences(_plain(old), new, path, paths)
