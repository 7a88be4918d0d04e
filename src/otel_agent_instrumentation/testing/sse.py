# SPDX-License-Identifier: Apache-2.0
"""Server-sent events for tests: write them, cut a recorded stream into them, read them back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = b"data: [DONE]\n\n"
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)|.+\Z", re.DOTALL)


def encode(data: object, *, event: str | None = None) -> bytes:
    """Return one event with ``data`` as compact JSON, under a name where one is given."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {text}\n\n".encode()


def split(stream: bytes) -> list[bytes]:
    """Cut a stream after each blank line, losing no byte: joined again it is the same."""
    return _EVENT.findall(stream)


def decode(stream: bytes) -> Iterator[tuple[str, str]]:
    """Yield (event name or "", data) of each event that has data; comments and ids are passed over."""
    for block in split(stream):
        name, data = "", list[str]()
        for line in block.decode("utf-8", "replace").splitlines():
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        if data:
            yield name, "\n".join(data)


def documents(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return (event name, object) of each event whose data is a JSON object."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, data in decode(stream):
        if data.startswith("{"):
            found.append((name, json.loads(data)))
    return found
