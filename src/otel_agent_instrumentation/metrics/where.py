# SPDX-License-Identifier: Apache-2.0
"""Where measurements go that no call makes: the meter provider of `instrument()`, and who waits for one."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_provider: Any = None
_waiting: list[tuple[Callable[[Any], None], weakref.WeakSet[Any]]] = []
"""With the providers that each was called with: one that comes again is not attached to twice."""


def use(provider: Any) -> None:
    """Measure with ``provider`` from now on, or with none."""
    global _provider  # noqa: PLW0603 - one a process
    _provider = provider
    for attach, known in tuple(_waiting):
        _tell(attach, known)


def whenever(attach: Callable[[Any], None]) -> None:
    """Have ``attach`` called with the provider that is in use, and with each that comes later."""
    known: weakref.WeakSet[Any] = weakref.WeakSet()
    _waiting.append((attach, known))
    _tell(attach, known)


def _tell(attach: Callable[[Any], None], known: weakref.WeakSet[Any]) -> None:
    if _provider is not None and _provider not in known:
        known.add(_provider)
        attach(_provider)
