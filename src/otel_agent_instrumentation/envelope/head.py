# SPDX-License-Identifier: Apache-2.0
"""A line whose payload is left unread: what merging, filtering and counting need, at a third of the price."""

from __future__ import annotations

from typing import Any

import msgspec


class Head(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The keys of :class:`.line.Line`; ``payload`` is its JSON text, not checked to be UTF-8."""

    schema_version: str
    timestamp: str
    source: str
    run_id: str
    cycle: int
    event: str
    payload: msgspec.Raw
    tags: Any
    time_unix_nano: int | None = None
    unix: float | None = None
    trace_id: str | None = None
    span_id: str | None = None
    seq: int | None = None
    pid: int | None = None
    chain: str | None = None


_decoder = msgspec.json.Decoder(Head)


def decode(data: bytes) -> Head:
    """Read one line. Raises `ValueError` where it is none."""
    try:
        head = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(str(error)) from error
    if bytes(head.payload)[:1] != b"{":
        msg = "the payload is no object"
        raise ValueError(msg)
    return head
