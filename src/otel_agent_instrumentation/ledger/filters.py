# SPDX-License-Identifier: Apache-2.0
"""Which events: the one language of routes, of the stream and of `otel-agent tail` (requirements, L8).

Of one key any value is enough; all keys that are given must agree. `type`, `source`, `run` and the values of `tag` are
globs (`plan.*`); `tag` is `name` or `name=value`; `severity` is the least severe that passes.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from ..envelope import categories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..envelope.head import Head
    from ..envelope.line import Line

SEVERITIES = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
"""OTel's severity numbers by name."""
_SYNONYMS = {
    "warning": "warn",
    "critical": "fatal",
    "emergency": "fatal",
    "alert": "fatal",
    "notice": "info",
    "information": "info",
}
_ERRORS = re.compile(r"(^|[._])(error|failed|failure)$")
KEYS = ("type", "source", "run", "tag", "severity")


class _Told(msgspec.Struct):
    severity: Any = None
    severity_text: Any = None
    severity_number: Any = None
    level: Any = None
    status: Any = None


_decoder = msgspec.json.Decoder(_Told)


class Filter(NamedTuple):
    """What is asked for; empty: everything."""

    type: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    severity: str = ""


def read(given: Mapping[str, Any]) -> Filter:
    """A filter from lists, or words with commas, by key. Raises `ValueError`, which names what is wrong."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in KEYS:
            msg = f"unknown key `{key}` of a filter; known: {', '.join(KEYS)}"
            raise ValueError(msg)
        words = _words(key, value)
        values[key] = severity_name(words) if key == "severity" else words
    return Filter(**values)


def _words(key: str, value: object) -> tuple[str, ...]:
    items = cast("list[object]", value) if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(item, str) for item in items):
        msg = f"`{key}` must be a string or a list of strings"
        raise ValueError(msg)
    parts = (part.strip() for item in items for part in cast("str", item).split(","))
    return tuple(part for part in parts if part)


def severity_name(words: tuple[str, ...]) -> str:
    """The one severity that is named. Raises `ValueError`."""
    if not words:
        return ""
    name = _SYNONYMS.get(words[-1].lower(), words[-1].lower())
    if name not in SEVERITIES:
        msg = f"`severity` must be one of {', '.join(SEVERITIES)}"
        raise ValueError(msg)
    return name


def compiled(wanted: Filter) -> Callable[[Line | Head], bool]:
    """A function that tells whether an event is wanted. It never raises, whatever the line holds."""
    checks: list[Callable[[Line | Head], bool]] = []
    for key, patterns in (("event", wanted.type), ("source", wanted.source), ("run_id", wanted.run)):
        if patterns:
            checks.append(_glob(key, patterns))
    if wanted.tag:
        checks.append(_tags(wanted.tag))
    if wanted.severity:
        least = SEVERITIES[wanted.severity]
        checks.append(lambda line: severity(line) >= least)
    if len(checks) == 1:
        return checks[0]
    return lambda line: all(check(line) for check in checks)


def _pattern(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob) for glob in globs))


def _glob(key: str, globs: tuple[str, ...]) -> Callable[[Line | Head], bool]:
    matches = _pattern(globs).match
    return lambda line: matches(getattr(line, key)) is not None


def _tags(wanted: tuple[str, ...]) -> Callable[[Line | Head], bool]:
    split = [one.partition("=") for one in wanted]
    pairs = [(name, _pattern([value]) if equals else None) for name, equals, value in split]

    def check(line: Line | Head) -> bool:
        tags: Any = line.tags
        if isinstance(tags, dict):
            told = cast("dict[Any, Any]", tags)
            return any(name in told and (p is None or p.match(str(told[name])) is not None) for name, p in pairs)
        return isinstance(tags, list) and any(p is None and name in tags for name, p in pairs)

    return check


def severity(line: Line | Head) -> int:
    """How severe an event is, as OTel numbers it: as it says, an error where it tells one, else as its category is."""
    told = _payload(line)
    told_tags: Any = line.tags
    tags = cast("dict[Any, Any]", told_tags) if isinstance(told_tags, dict) else {}
    said: tuple[Any, ...] = (told.severity, told.severity_text, told.level, tags.get("severity"))
    number = told.severity_number
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    for word in said:
        if isinstance(word, str) and (name := _SYNONYMS.get(word.lower(), word.lower())) in SEVERITIES:
            return SEVERITIES[name]
    status: Any = told.status
    if (isinstance(status, dict) and status.get("code") == "ERROR") or _ERRORS.search(line.event):  # pyright: ignore[reportUnknownMemberType]
        return SEVERITIES["error"]
    category = categories.find(line.event)
    name = category.severity.lower() if category is not None else "info"
    return SEVERITIES.get(_SYNONYMS.get(name, name), SEVERITIES["info"])


def _payload(line: Line | Head) -> _Told:
    payload = line.payload
    try:
        if isinstance(payload, dict):
            return msgspec.convert(payload, _Told)
        return _decoder.decode(payload)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return _Told()
