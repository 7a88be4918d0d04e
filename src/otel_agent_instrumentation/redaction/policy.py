# SPDX-License-Identifier: Apache-2.0
"""The policy: what leaves the process, and what is replaced.

One object with one set of methods, used by the guard, the metrics and the ledger alike. Clean values come back as
the object that went in, so callers compare by identity and the usual case allocates nothing. It fails closed: a fault
in a rule replaces the value by ``REDACTED:error``, is counted, and never raises. Redacting twice equals once.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
import sys
import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from ..core import settings as in_force
from ..core.contain import Contained
from . import keys, loading
from .paths import MASKED, differences, plain
from .repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..config import Settings
    from .keys import Decision
    from .marks import Marks
    from .rules import Hit

    Find = Callable[[str, Callable[[str], Decision]], list[Hit]]

ERROR: Final = "REDACTED:error"
"""Stands for a value that a rule failed on."""

_TOO_DEEP: Final = "REDACTED:depth"
_DROPPED: Final = object()
_MAX_DEPTH = 64
_MAX_PASSES = 4
_MAX_KEYS = 4096
_CLEAN_BYTES = 1 << 20
_CLEAN_LONGEST = 1 << 16
_SHORTEST = 6
# Start-up looks at some fifty texts, of the resource and the self-check; loading RE2 would be the most of its time.
_FAST_AFTER = 128

_SCALARS: Final = frozenset(
    {
        *(int, float, bool, type(None), complex),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID),
    }
)
_ID = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{16})?\Z")

# No form of a secret fits: its name needs no look at what it holds, and no fault can take it.
_PLAIN_NAME = re.compile(r"[A-Za-z_]{1,24}(?:\.[A-Za-z_]{1,24}){0,8}\Z")

_TEXT = Contained("redaction.text")
_WALK = Contained("redaction.value")
_KEY = Contained("redaction.key")


class _Shared:
    """What the policies of one process's places have in common: rules, caches, counts."""

    def __init__(self, find: Find | None, judge: Callable[[str], Decision] | None, settings: Settings | None) -> None:
        self.own_find, self.own_judge, self.settings = find, judge, settings
        self.find: Find | None = None
        self.marks: Marks
        self.judge: Callable[[str], Decision]
        # Names of attributes and of fields inside text apart: hostile text may churn its own cache only.
        self.decisions: dict[str, Decision] = {}
        self.inner: dict[str, Decision] = {}
        self.clean: set[str] = set()
        self.clean_bytes = 0
        self.repeats = Repeats()
        self.counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.warm: Callable[[], str] = str

    def ready(self) -> Find:
        """Return the value rules, loaded at the first text: start-up does not pay for them."""
        find = self.find
        if find is None:
            with loading.lock:
                find = self._load()
        return find

    def _load(self) -> Find:
        from .marks import Marks
        from .matcher import Matcher
        from .rules import KEY, build

        settings = self.settings or in_force.current()
        chosen = settings.redaction
        rules = build(settings.redaction_off, settings.redaction_on, chosen.rules)
        self.marks = Marks(settings, {rule.id: rule.row.kind for rule in rules})
        names = KEY not in settings.redaction_off
        own = keys.judge_with(chosen.keys, chosen.plain_keys) if names else keys.judge_none
        self.judge = self.own_judge or own
        find = self.own_find
        if find is None:
            later = None if settings.redaction_engine == "re" else _FAST_AFTER
            matcher = Matcher(rules, chosen.keys, names=names, fast_after=later)
            find, self.warm = matcher.find, matcher.warm
        # Last: another thread that sees it finds the rest.
        self.find = find
        return find

    def reset(self) -> None:
        self.find = None
        self.decisions.clear()
        self.inner.clear()
        self.clean.clear()
        self.repeats.clear()


class Policy:
    """Redacts values by the name of their key and by what they hold. Safe to share between threads."""

    __slots__ = ("_clean", "_decisions", "_shared", "place")

    def __init__(
        self,
        *,
        find: Find | None = None,
        judge: Callable[[str], Decision] | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Build a policy of the rules that ``settings`` ask for (those in force), or of ``find`` and ``judge``."""
        self._shared = _Shared(find, judge, settings)
        self._clean, self._decisions = self._shared.clean, self._shared.decisions
        self.place = "other"

    def at(self, place: str) -> Policy:
        """Return this policy for ``place``, under which it counts: the same rules, caches and counts."""
        if place == self.place:
            return self
        # A copy: a policy of another class stays one.
        other = copy.copy(self)
        other.place = place
        return other

    def apart(self) -> Policy:
        """Return this policy with counts of its own: what a check replaces is none of the user's secrets."""
        self._shared.ready()  # what is decided from here on is in the caches of both
        other = copy.copy(self)
        shared = other._shared = copy.copy(self._shared)  # noqa: SLF001 - its own class
        shared.counts = defaultdict(int)
        return other

    def use(self, settings: Settings) -> None:
        """Follow ``settings`` from now on."""
        shared = self._shared
        if shared.settings != settings:
            shared.settings = settings
            shared.reset()

    def text(self, text: str) -> str:
        """Return ``text`` with the secrets in it replaced; the same object if it has none."""
        if type(text) is str and text in self._clean:
            return text
        with _TEXT:
            own = text if type(text) is str else str.__str__(text)
            known = self._shared.repeats.get(own)
            redacted, found = known if known is not None else self._scan(own)
            if redacted is own:
                return text
            for rule in set(found):
                self._shared.counts[rule, self.place] += found.count(rule)
            return redacted
        self._shared.counts["error", self.place] += 1
        return ERROR

    def hits(self, text: str) -> list[Hit]:
        """Return what of ``text`` goes, and by which rule: to try the policy. Raises what a rule raises."""
        find = self._shared.ready()
        found = find(text, self._decide_inner)
        return [hit for hit in found if not self._shared.marks.allows(text[hit.start : hit.end])]

    def engine(self) -> str:
        """Return what screens the texts: ``re2``, or ``re`` where the extra ``[fast]`` is not installed. Loads it."""
        self._shared.ready()
        return self._shared.warm()

    def value(self, key: str, value: Any) -> Any:
        """Return ``value`` as it may leave under ``key``; the same object if nothing in it is secret."""
        with _WALK:
            decision = self._decide(key)
            redacted = self._mask(value, decision) if decision.secret else self._walk(value, 0)
            return None if redacted is _DROPPED else redacted
        self._shared.counts["error", self.place] += 1
        return ERROR

    def attributes(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return ``attributes`` redacted: the same object if clean, else a new ``dict``."""
        with _WALK:
            return self._mapping(attributes, 0)
        # A fault outside a rule, of a foreign mapping or value: one by one, so that one value is lost and not all.
        with _WALK:
            return {str(key): self.value(str(key), attributes[key]) for key in attributes}
        self._shared.counts["error", self.place] += 1
        return {}

    def payload(self, obj: Any, path: str = "$") -> tuple[Any, list[str]]:
        """Return ``obj`` redacted (the same object if clean) and the JSON paths of what was replaced, sorted."""
        with _WALK:
            redacted = self._walk(obj, 0)
            return (obj, []) if redacted is obj else (redacted, differences(obj, redacted, path))
        self._shared.counts["error", self.place] += 1
        return ({"error": ERROR} if isinstance(obj, Mapping) else ERROR), [path]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many values went, by rule (``key`` a name's, ``error`` a fault) and place. A copy."""
        return dict(self._shared.counts)

    def _scan(self, text: str) -> tuple[str, Sequence[str]]:
        """Return what stands for ``text`` (the same object if it is clean), and the rules that found something."""
        found: list[str] = []
        redacted = self._rules(text, found)
        if redacted is text:
            self._remember(text)
            return text, found
        # What a replacement brings together may match again; repeated until redacting twice equals once.
        for _ in range(_MAX_PASSES):
            once, redacted = redacted, self._rules(redacted, found)
            if redacted == once:
                break
        else:
            redacted = ERROR
        self._remember(redacted)
        self._shared.repeats.put(text, redacted, found)
        return redacted, found

    def _rules(self, text: str, found: list[str]) -> str:
        if len(text) < _SHORTEST:
            return text
        shared = self._shared
        hits = (shared.find or shared.ready())(text, self._decide_inner)
        if not hits:
            return text
        pieces: list[str] = []
        done = 0
        allow, marked = shared.marks.allow, shared.marks.mark
        for start, end, rule, quote in hits:
            secret = text[start:end]
            if allow is not None and allow.fullmatch(secret) is not None:
                continue
            mark = marked(rule, secret) or ""
            pieces += (text[done:start], f"{quote}{mark}{quote}" if quote else mark)
            done = end
            found.append(rule)
        return "".join((*pieces, text[done:])) if pieces else text

    def _decide(self, key: str) -> Decision:
        decision = self._decisions.get(key)
        if decision is None:
            self._shared.ready()
            decision = self._shared.judge(key)
            if not _PLAIN_NAME.match(key):
                name = self.text(key)
                if name is not key:
                    decision = decision._replace(name=name)
            _keep(self._decisions, key, decision)
        return decision

    def _decide_inner(self, key: str) -> Decision:
        inner = self._shared.inner
        decision = inner.get(key)
        if decision is None:
            decision = self._shared.judge(key)
            _keep(inner, key, decision)
        return decision

    def _remember(self, text: str) -> None:
        """Note that ``text`` holds nothing secret, so that what is sent again is not scanned again."""
        size = str.__sizeof__(text)
        if size > _CLEAN_LONGEST:
            return
        shared = self._shared
        shared.clean_bytes += size
        if shared.clean_bytes > _CLEAN_BYTES:
            shared.clean.clear()
            shared.clean_bytes = size
        shared.clean.add(text)

    def _mask(self, value: Any, decision: Decision) -> Any:
        """Return what stands for ``value`` under a secret key: nothing is hidden where there is nothing to hide."""
        if value is None or isinstance(value, bool) or (decision.keep_numbers and isinstance(value, _numbers())):
            return value
        if isinstance(value, (str, bytes, list, tuple, dict)) and len(cast("Any", value)) == 0:
            return cast("Any", value)
        shared = self._shared
        if isinstance(value, str) and (MASKED.fullmatch(value) or shared.marks.allows(value)):
            return value
        shared.counts["key", self.place] += 1
        mark = shared.marks.mark("key", value)
        return _DROPPED if mark is None else mark

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
                redacted = self._special(value, decision, depth)
            if redacted is value and decision.name is None:
                continue
            if changed is None:
                changed = dict(mapping)
            if redacted is _DROPPED or decision.name is not None:
                del changed[key]
                if redacted is _DROPPED:
                    continue
                key = decision.name  # noqa: PLW2901 - the entry moves to its redacted name
            changed[key] = redacted
        return mapping if changed is None else changed

    def _special(self, value: Any, decision: Decision, depth: int) -> Any:
        if decision.secret:
            return self._mask(value, decision)
        if decision is keys.ID and isinstance(value, str) and _ID.match(value):
            return value
        return self._walk(value, depth + 1)

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
        if isinstance(value, (int, float)) or kind in _numbers():
            return value
        return self._walk(plain(value), depth + 1)

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
