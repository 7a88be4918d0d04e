# SPDX-License-Identifier: Apache-2.0
"""Documents that nobody promised: a JSON document with a few places made odd, the same for the same seed (E2)."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

# Keys that collide with what readers ask an object for, and with what clients keep on it.
KEYS = (
    *("http_response", "is_closed", "aiter_raw", "response", "parse", "close", "usage", "choices", "id", "type"),
    *("__class__", "__stream__", "_iterator", "model_extra", "model_fields", "self", "items", "get", "", "\ud800"),
)


def deep(levels: int) -> Any:
    """A list within a list, ``levels`` times."""
    found: Any = "bottom"
    for level in range(levels):
        found = [found] if level % 2 else {"in": found}
    return found


def odd(rng: Random) -> Any:
    """One odd value."""
    return rng.choice(
        [
            *(None, True, False, 0, -1, 1.5, -0.0, 2**31, 2**63 - 1, 2**63, 10**30, -(10**30), 1e308),
            *(float("nan"), float("inf"), float("-inf")),
            *("", "x", "x" * 20_000, "\ud800", "a\udfffb", "\x00", "é☃\U0001f600", "1", "NaN"),
            *([], {}, [None], [[]], [1, "a"], {"a": 1}, {"": None}, [{}], ["\ud800"], deep(60)),
        ]
    )


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, value in entries:
        yield node, key
        yield from places(value)


def made_odd(document: Any, rng: Random) -> Any:
    """A copy of ``document`` with one to four places changed."""
    found = copy.deepcopy(document)
    for _ in range(rng.randint(1, 4)):
        where = list(places(found))
        if not where:
            break
        node, key = rng.choice(where)
        match rng.randrange(6):
            case 0 | 1:
                node[key] = odd(rng)
            case 2:
                del node[key]
            case 3:
                node[key] = [node[key]]
            case 4:
                node[key] = {"value": node[key]}
            case _:
                extra = (rng.choice(KEYS), odd(rng))
                node.update([extra]) if isinstance(node, dict) else node.append(extra[1])
    return found


def encoded(document: Any) -> bytes:
    """``document`` as a careless server would send it: with NaN and escaped lone surrogates."""
    return json.dumps(document, ensure_ascii=True, allow_nan=True).encode()
