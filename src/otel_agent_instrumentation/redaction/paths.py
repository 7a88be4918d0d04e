# SPDX-License-Identifier: Apache-2.0
"""Plain data out of objects, and the JSON paths of where redacted data differs from what it was made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

REDACTED: Final = "REDACTED"
MASKED: Final = re.compile(r"REDACTED(?::error|:depth|:[a-z0-9_.-]{1,40}:[0-9a-f]{12})?")
"""What a replacement looks like."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def plain(value: Any) -> Any:
    """Return ``value`` as plain data: a dataclass as a mapping, a set as a list, the unknown as its text."""
    import msgspec

    try:
        return msgspec.to_builtins(value, builtin_types=(bytes, bytearray), str_keys=False)
    except (TypeError, ValueError):
        return str(value)


def step(path: str, key: Any) -> str:
    """Return the path of ``key`` below ``path``."""
    return f"{path}.{key}" if isinstance(key, str) and _IDENTIFIER.match(key) else f"{path}[{key!r}]"


def differences(old: Any, new: Any, path: str) -> list[str]:
    """Return where ``new``, which was redacted from ``old``, differs from it: sorted JSON paths below ``path``."""
    paths: set[str] = set()
    _collect(old, new, path, paths)
    return sorted(paths)


_MOST_LISTED = 64


def listing(known: Any, *found: Sequence[str]) -> tuple[str, ...]:
    """Return the paths ``found`` together with those listed before, as the value of an attribute: sorted, bounded."""
    before = cast("Sequence[str]", known) if isinstance(known, (list, tuple)) else ()
    return tuple(sorted({*before, *(path for paths in found for path in paths)})[:_MOST_LISTED])


def marked(attributes: Mapping[str, Any], path: str) -> list[str]:
    """Return the paths of the values below ``path`` in which something was replaced before."""
    return sorted(step(path, key) for key, value in attributes.items() if REDACTED in str(value))


def _collect(old: Any, new: Any, path: str, paths: set[str]) -> None:
    if new is old:
        return
    if isinstance(new, dict) and isinstance(old, Mapping):
        _of_mappings(cast("Mapping[Any, Any]", old), cast("dict[Any, Any]", new), path, paths)
    elif isinstance(new, (list, tuple)) and isinstance(old, (list, tuple)):
        for index, (was, value) in enumerate(zip(cast("list[Any]", old), cast("list[Any]", new), strict=True)):
            _collect(was, value, f"{path}[{index}]", paths)
    elif isinstance(old, (str, bytes, bytearray, int, float)) or isinstance(new, str):
        if new != old:
            paths.add(path)
    else:
        _collect(plain(old), new, path, paths)


def _of_mappings(old: Mapping[Any, Any], new: dict[Any, Any], path: str, paths: set[str]) -> None:
    for key, value in new.items():
        if key in old:
            _collect(old[key], value, step(path, key), paths)
        else:
            paths.add(step(path, key))
    if len(new) <= len(old):
        # A key that went because its name held a secret is told by its new name alone.
        renamed = sum(key not in old for key in new)
        gone = [key for key in old if key not in new]
        if len(gone) > renamed:
            paths.update(step(path, key) for key in gone)
