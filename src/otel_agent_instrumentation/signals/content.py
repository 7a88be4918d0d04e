# SPDX-License-Identifier: Apache-2.0
"""Messages, instructions and tool definitions as JSON that stays valid within a limit. Imported where capture is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .. import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..core.spec import Content

_PARTS = (
    (semconv.INPUT_MESSAGES, "input"),
    (semconv.OUTPUT_MESSAGES, "output"),
    (semconv.SYSTEM_INSTRUCTIONS, "system"),
    (semconv.TOOL_DEFINITIONS, "tools"),
    (semconv.TOOL_CALL_ARGUMENTS, "arguments"),
    (semconv.TOOL_CALL_RESULT, "result"),
)
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def of_content(
    content: Content, limit: int, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> dict[str, str]:
    """Messages, instructions and tool definitions as JSON strings of at most ``limit`` bytes that stay valid JSON.

    Redacted before they are cut: half a secret looks like none.
    """
    told = redact({name: getattr(content, part) for name, part in _PARTS if getattr(content, part)})
    return {
        name: bounded_json(value, limit) if isinstance(value, list) else bounded_value(value, limit)  # pyright: ignore[reportUnknownArgumentType]
        for name, value in told.items()
    }


def bounded_value(value: Any, limit: int) -> str:
    """A tool's arguments or result within ``limit`` bytes: JSON that stays valid, or text as it is, cut."""
    if isinstance(value, str):
        return value if len(value) <= limit // 4 else value.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
    encoded = _json(value)
    for most in (2048, 256, 32):
        if len(encoded) <= limit:
            break
        encoded = _json(_cut(value, most))
    return encoded.decode() if len(encoded) <= limit else _json({"agent.truncated": len(encoded)}).decode()


def bounded_json(value: list[dict[str, Any]], limit: int) -> str:
    """``value`` as JSON within ``limit`` bytes: long strings are cut first, then elements from the middle."""
    encoded = _json(value)
    if len(encoded) <= limit:
        return encoded.decode()
    for most in (2048, 256, 32):
        cut = [_cut(item, most) for item in value]
        encoded = _json(cut)
        if len(encoded) <= limit:
            return encoded.decode()
    kept = [_cut(item, 32) for item in (value if len(value) < 3 else (value[0], value[-1]))]  # noqa: PLR2004 - the ends
    kept.insert(1, {"role": "system", "parts": [], "agent.truncated": len(value)})
    encoded = _json(kept)
    return encoded.decode() if len(encoded) <= limit else _json([{"agent.truncated": len(value)}]).decode()


def _json(value: Any) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:  # a lone surrogate: models do stream them
        return _encode(_cut(value, 1 << 30))


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        told = value if value.isascii() else value.encode("utf-8", "replace").decode()
        return told if len(told) <= most else f"{told[:most]}…[{len(told)} characters]"
    if isinstance(value, dict):
        return {key: _cut(item, most) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        return [_cut(item, most) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
