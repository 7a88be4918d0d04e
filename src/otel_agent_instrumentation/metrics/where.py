# SPDX-License-Identifier: Apache-2.0
"""Where measurements go that no call makes: the meter provider of `instrument()`, and who waits for one."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_provider: Any = None
_waiting: list[tuple[Callable[[Any], None], list[weakref.ref[Any]]]] = []
"""With the providers that each was called with: one that comes again is not attached to twice."""


def use(provider: Any) -> None:
    """Measure with ``provider`` from now on, or with none."""
    global _provider  # noqa: PLW0603 - one a process
    _provider = provider
    for attach, known in tuple(_waiting):
        _tell(attach, known)


def whenever(attach: Callable[[Any], None]) -> None:
    """Have ``attach`` called with the provider that is in use, and with each that comes later."""
    known: list[weakref.ref[Any]] = []
    _waiting.append((attach, known))
    _tell(attach, known)


def _tell(attach: Callable[[Any], None], known: list[weakref.ref[Any]]) -> None:
    # By identity: a neighbour's proxy provider (logfire's) is a dataclass and cannot be hashed.
    if _provider is not None and not any(reference() is _provider for reference in known):
        known.append(weakref.ref(_provider, known.remove))
        attach(_provider)
