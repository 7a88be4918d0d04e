# SPDX-License-Identifier: Apache-2.0
"""Lines that are not as the writer writes them: another encoding, a plain old ledger's, another version's.

A line of another shape is read where it says what happened (`event`, or `type`): its other keys are its payload
(requirements, L7: `append_ledger({"event": "eval", "quality": 0.85})`).
"""

from __future__ import annotations

import codecs
import math
from datetime import datetime
from typing import Any, cast

import msgspec

from ..envelope import line as envelope
from ..envelope.line import Line

_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE)
_TAGS = ("task_id", "persona_id", "session_id")
_TIMES = ("timestamp", "ts", "time", "unix")
_NANOSECONDS = 1e16
_MILLISECONDS = 1e11
_LATEST = 253_402_300_799  # the last second of the year 9999
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, Any])


def text(data: bytes) -> bytes:
    """``data`` as UTF-8: without a byte order mark and padding, from the UTF-16 of PowerShell, else with U+FFFD."""
    for mark in _BOMS:
        data = data.removeprefix(mark)
    # Zeros before a line are what a file system leaves after a crash; between characters they are UTF-16.
    core = data.strip(b"\0\r\n\t ")
    if core[1:2] == b"\0":
        core += b"\0" * (len(core) % 2)
        return core.decode("utf-16-le", "replace").encode("utf-8", "replace")
    return core.decode("utf-8", "replace").encode()


def line(data: bytes, run_id: str) -> Line | None:
    """What can be read of a line that is none of the envelope; ``run_id``: the run it belongs to unless it says."""
    try:
        return _told(_decoder.decode(text(data)), run_id)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None


def _told(keys: dict[str, Any], run_id: str) -> Line | None:
    if "schema_version" in keys:
        # An older or newer writer's: what it leaves out is made up for, what it says must fit.
        made_up: dict[str, Any] = {"timestamp": "", "source": "agent", "run_id": run_id, "cycle": 0}
        return msgspec.convert({**made_up, "payload": {}, "tags": {}, **keys}, Line)
    event = keys.get("event") or keys.get("type")
    return _plain(event, keys, run_id) if isinstance(event, str) and event else None


def _plain(event: str, keys: dict[str, Any], run_id: str) -> Line:
    time_ns = next((ns for ns in (nanoseconds(keys.get(key)) for key in _TIMES) if ns), 0)
    payload = keys.get("payload")
    if isinstance(payload, dict):
        told = cast("dict[str, Any]", payload)
    else:
        told = {name: value for name, value in keys.items() if name not in ("event", *_TIMES)}
    tags: dict[str, Any] = {key: keys[key] for key in _TAGS if isinstance(keys.get(key), str)}
    run, cycle, source = keys.get("run_id"), keys.get("cycle"), keys.get("source")
    return Line(
        schema_version="",
        timestamp=envelope.timestamp(time_ns) if time_ns else "",
        source=source if isinstance(source, str) else envelope.source(event, None),
        run_id=run if isinstance(run, str) and run else run_id,
        cycle=cycle if type(cycle) is int and 0 <= cycle < 1 << 31 else 0,
        event=event,
        payload=told,
        tags=keys["tags"] if isinstance(keys.get("tags"), (dict, list)) else tags,
        time_unix_nano=time_ns or None,
    )


def nanoseconds(value: object) -> int:
    """A time as people write it (ISO 8601; seconds, ms or ns since the epoch) in ns since the epoch; 0 if none."""
    if isinstance(value, str):
        try:
            # Python 3.10 does not read the `Z`.
            told = datetime.fromisoformat(value.strip().replace("Z", "+00:00")).timestamp()
        except (ValueError, OverflowError, OSError):
            return 0
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        if value > _NANOSECONDS:
            return int(value) if value < _LATEST * 1e9 else 0
        told = value / 1000 if value > _MILLISECONDS else value
    else:
        return 0
    return round(told * 1000) * 1_000_000 if 0 < told < _LATEST else 0
