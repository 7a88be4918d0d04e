# SPDX-License-Identifier: Apache-2.0
"""One line of the envelope (contracts 1): a JSON object with the keys of the telemetry event specification."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, cast

import msgspec

from ..core.contain import call

SCHEMA_VERSION = "1.0"

# Who speaks, by an event's first word; else the agent's name, else `agent`.
_SOURCES = {
    "plan": "planner",
    "executor": "executor",
    "tool": "executor",
    "review": "reviewer",
    "memory": "memory",
    "optimizer": "optimizer",
}


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event. The first eight keys are always there; the rest is optional for a reader."""

    schema_version: str
    timestamp: str
    """ISO 8601, UTC, milliseconds, `Z`."""
    source: str
    run_id: str
    cycle: int
    """From 1; 0 outside a cycle."""
    event: str
    payload: dict[str, Any]
    """Event-specific; `redacted_fields` lists the JSON paths that were replaced."""
    tags: Any
    """An object; a list of strings from elsewhere is read too."""
    time_unix_nano: int | None = None
    unix: float | None = None
    trace_id: str | None = None
    span_id: str | None = None
    seq: int | None = None
    """Per process, without gaps."""
    pid: int | None = None
    chain: str | None = None
    """A digest over the line and the digest before it, where that was asked for."""


def timestamp(time_ns: int) -> str:
    """``time_ns`` as the envelope writes it.

    >>> timestamp(1_759_754_096_789_000_000)
    '2025-10-06T12:34:56.789Z'
    """
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1_000_000:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def source(event: str, agent: str | None) -> str:
    """Who an event comes from."""
    prefix, dot, _ = event.partition(".")
    return _SOURCES.get(prefix if dot else "", agent or "agent")


def told(value: Any) -> Any:
    """What stands for a value that JSON has no form for: a plain one of its kind, else the beginning of its text."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, cast("set[Any]", value)))
    return _text(repr, value)[:_LONGEST_TEXT]


_encoder = msgspec.json.Encoder(enc_hook=told)
_decoder = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """One line with its newline. A value that JSON cannot say is told by its `repr`, a lone surrogate by `?`."""
    try:
        return _encoder.encode(line) + b"\n"
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError):
        names = {key: plain(getattr(line, key)) for key in ("source", "run_id", "event", "payload", "tags")}
        return _encoder.encode(msgspec.structs.replace(line, **names)) + b"\n"


def decode(data: bytes) -> Line:
    """Read one line. Raises `ValueError` where it is none (msgspec's own errors are such since 0.20 alone)."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(str(error)) from error


_DEEPEST = 32
_MOST_VALUES = 100_000
_LONGEST_TEXT = 200
_WIDEST = 1 << 63


def plain(value: Any) -> Any:
    """``value`` as what JSON can say, whatever it is: bounded in depth and number, and a list may hold itself."""
    return _plain(value, (), [_MOST_VALUES])


def _plain(value: Any, above: tuple[int, ...], left: list[int]) -> Any:  # noqa: PLR0911 - one a type
    left[0] -= 1
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        small = isinstance(value, bool) or -_WIDEST <= value < _WIDEST
        return value if small else _text(repr, value)
    if value is None or isinstance(value, bytes):
        return value
    if left[0] < 0 or len(above) > _DEEPEST or id(value) in above:
        return "..."
    above = (*above, id(value))
    if isinstance(value, Mapping):
        pairs = list(cast("Mapping[Any, Any]", value).items())
        return {_clean(_text(str, key)): _plain(item, above, left) for key, item in pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, above, left) for item in list(cast("list[Any]", value))]
    return _plain(told(value), above, left)


def _clean(text: str) -> str:
    return str.__str__(text).encode("utf-8", "replace").decode()


def _text(how: Callable[[Any], str], value: Any) -> str:
    return call("envelope.text", how, value, default="?") or "?"
