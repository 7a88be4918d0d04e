# SPDX-License-Identifier: Apache-2.0
"""A line of a file as it may leave the machine: redacted, whoever wrote it.

The file may hold what a shell, an older ledger or a newer version wrote, and says so nowhere that could be trusted:
every line is read, redacted and written anew. Redacting twice is redacting once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ..core.contain import Contained
from ..envelope.line import Line

if TYPE_CHECKING:
    from ..redaction.policy import Policy

_LINE = Contained("stream.line")
_KEYS = frozenset(Line.__struct_fields__)
_ID = re.compile(r"[0-9a-f]{16,64}")
_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def leaving(line: bytes | Line, policy: Policy) -> bytes | None:
    """A line of the envelope, as it is in the file or as it was read, redacted and without its newline.

    None, and counted, where that fails.
    """
    with _LINE:
        keys: dict[str, Any] = _decoder.decode(line) if isinstance(line, bytes) else msgspec.to_builtins(line)
        payload, paths = policy.payload(keys["payload"], "payload")
        told: dict[str, Any] = {key: _own(value, policy) for key, value in keys.items() if key in _KEYS}
        rest = {key: value for key, value in keys.items() if key not in _KEYS}
        if rest:  # somebody else's: their names are looked at, too
            told |= policy.payload(rest)[0]
        told["payload"] = {**payload, "redacted_fields": sorted({*_paths(payload), *paths})}
        return msgspec.json.encode(told)
    return None


def _own(value: Any, policy: Policy) -> Any:
    """A key of the envelope beside the payload. Its numbers and ids would look like somebody's, and are ours."""
    if isinstance(value, str):
        return value if _ID.fullmatch(value) else policy.text(value)
    return policy.payload(value)[0] if isinstance(value, (dict, list)) else value


def _paths(payload: dict[str, Any]) -> list[str]:
    before = payload.get("redacted_fields")
    return [path for path in cast("list[Any]", before) if isinstance(path, str)] if isinstance(before, list) else []
