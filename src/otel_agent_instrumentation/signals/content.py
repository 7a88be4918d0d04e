# SPDX-License-Identifier: Apache-2.0
"""Messages, instructions and tool definitions as JSON that stays valid within a limit. Imported where capture is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .. import semconv
from ..core.media import without_bytes
from ..redaction.paths import differences, listing, step

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
_VALUES = (semconv.TOOL_CALL_ARGUMENTS, semconv.TOOL_CALL_RESULT)
_ARGUMENTS = step("attributes", semconv.TOOL_CALL_ARGUMENTS)
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class Told(NamedTuple):
    """What may be told of a call's content: redacted, without the bytes of files, whole."""

    parts: Mapping[str, Any]
    """By the attribute's name."""
    replaced: tuple[str, ...] | None
    """The paths of what was replaced; None where nothing was."""


def tell(content: Content, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Told:
    """Make messages, instructions and tool definitions such that they may leave.

    Redacted before they are cut: half a secret looks like none. Of images, sounds and files a digest and a size are
    told.
    """
    parts = {name: getattr(content, part) for name, part in _PARTS}
    raw = {name: part for name, part in parts.items() if part is not None and (name in _VALUES or part)}
    raw = without_bytes(raw, bare=False)
    told = redact(raw)
    hidden = [step(_ARGUMENTS, key) for key in content.hidden]
    replaced = listing(hidden, differences(raw, told, "attributes")) if hidden or told is not raw else None
    return Told(without_bytes(told, bare=True), replaced)


def attributes_of(told: Told, limit: int) -> dict[str, Any]:
    """What is told, as JSON strings of at most ``limit`` bytes that stay valid JSON, with what was replaced."""
    found: dict[str, Any] = {
        name: _bounded(value, limit, messages=name not in _VALUES) for name, value in told.parts.items()
    }
    if told.replaced is not None:
        found[semconv.REDACTED_FIELDS] = told.replaced
    return found


def _bounded(value: Any, limit: int, *, messages: bool) -> str:
    if messages:
        return bounded_json(value, limit) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType]
    return bounded_value(value, limit)


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


def bounded_value(told: Any, limit: int) -> str:
    """Any value as JSON within ``limit`` bytes, a string as it is: what a tool was given or returned."""
    if isinstance(told, str):
        data = told.encode("utf-8", "replace")
        return data.decode() if len(data) <= limit else f"{data[:limit].decode('utf-8', 'ignore')}…"
    encoded = _json(told)
    for most in (2048, 256, 32):
        if len(encoded) <= limit:
            break
        encoded = _json(_cut(told, most))
    return encoded.decode() if len(encoded) <= limit else _json({"agent.truncated": len(encoded)}).decode()
