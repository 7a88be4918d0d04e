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

if TYPE_CHECKING:
    from ..envelope.line import Line
    from ..redaction.policy import Policy

_LINE = Contained("stream.line")
_ID = re.compile(r"[0-9a-f]{16,64}")
_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def leaving(line: bytes | Line, policy: Policy) -> bytes | None:
    """A line of the envelope, as it is in the file or as it was read, redacted and without its newline.

    None, and counted, where that fails.
    """
    with _LINE:
        keys: dict[str, Any] = _decoder.decode(line) if isinstance(line, bytes) else msgspec.to_builtins(line)
        payload, paths = policy.payload(keys["payload"], "payload")
        told: dict[str, Any] = {key: _other(value, policy) for key, value in keys.items()}
        told["payload"] = {**payload, "redacted_fields": sorted({*_paths(payload), *paths})}
        return msgspec.json.encode(told)
    return None


def _other(value: Any, policy: Policy) -> Any:
    """What stands beside the payload. The numbers and ids of a line would look like somebody's, and are ours."""
    if isinstance(value, str):
        return value if _ID.fullmatch(value) else policy.text(value)
    return policy.payload(value)[0] if isinstance(value, (dict, list)) else value


def _paths(payload: dict[str, Any]) -> list[str]:
    before = payload.get("redacted_fields")
    return [path for path in cast("list[Any]", before) if isinstance(path, str)] if isinstance(before, list) else []
