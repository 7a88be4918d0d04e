# SPDX-License-Identifier: Apache-2.0
"""An immutable copy of a payload, made at the price of the caller: in one pass, in C, with its exact size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from . import line

_encode = msgspec.msgpack.Encoder(enc_hook=line.told).encode
_decode = msgspec.msgpack.Decoder().decode


def pack(payload: Any) -> bytes:
    """``payload`` as bytes. What has no form of its own is told by its text; what is too deep is cut."""
    try:
        return _encode(payload)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError):
        return _encode(line.plain(payload))


def unpacked(data: bytes) -> Any:
    """What `pack` was given."""
    return _decode(data)


def unpack(data: bytes) -> dict[str, Any]:
    """The payload of such bytes. What was no mapping is under `value`."""
    found = _decode(data)
    if isinstance(found, Mapping):
        return {key if type(key) is str else str(key): value for key, value in found.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {} if found is None else {"value": found}
