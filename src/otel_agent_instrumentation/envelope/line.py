# SPDX-License-Identifier: Apache-2.0
"""One line of the envelope (contracts 1): a JSON object with the keys of the telemetry event specification."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import msgspec

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


def timestamp(time_ns: int) -> str:
    """``time_ns`` as the envelope writes it.

    >>> timestamp(1_759_754_096_789_000_000)
    '2025-10-06T12:34:56.789Z'
    """
    seconds, rest = divmod(time_ns, 1_000_000_000)
    told = datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{told}.{rest // 1_000_000:03d}Z"


def source(event: str, agent: str | None) -> str:
    """Who an event comes from."""
    prefix, dot, _ = event.partition(".")
    return _SOURCES.get(prefix if dot else "", agent or "agent")


def _fallback(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return repr(value)[:200]


_encoder = msgspec.json.Encoder(enc_hook=_fallback)
_decoder = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """One line with its newline. A value that JSON cannot say is told by its `repr`, a lone surrogate by `?`."""
    try:
        return _encoder.encode(line) + b"\n"
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        return (
            _encoder.encode(msgspec.structs.replace(line, payload=_plain(line.payload, 0), tags=_plain(line.tags, 0)))
            + b"\n"
        )


def decode(data: bytes) -> Line:
    """Read one line. Raises `ValueError` where it is none (msgspec's own errors are such since 0.20 alone)."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(str(error)) from error


_DEEPEST = 32


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        pairs: Any = value.items()  # pyright: ignore[reportUnknownVariableType]
        return {str(_plain(str(key), depth)): _plain(item, depth + 1) for key, item in pairs}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth + 1) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value if value is None or isinstance(value, (bool, int, bytes)) else repr(value)[:200]
