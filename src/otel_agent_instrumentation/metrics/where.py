# SPDX-License-Identifier: Apache-2.0
"""Where measurements go that no call makes: the meter provider of `instrument()`, and who waits for one."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_provider: Any = None
_waiting: list[Callable[[Any], None]] = []
# By identity: a neighbour's proxy provider (logfire's) is a dataclass and cannot be hashed.
_known: list[weakref.ref[Any]] = []


def use(provider: Any) -> None:
    """Measure with ``provider`` from now on, or with none. One that comes again is attached to already."""
    global _provider  # noqa: PLW0603 - one a process
    _provider = provider
    if provider is not None and not any(known is provider for known in _alive()):
        _known.append(weakref.ref(provider, _known.remove))
        for attach in tuple(_waiting):
            attach(provider)


def provider() -> Any:
    """The meter provider in use; None before `instrument()` and after `uninstrument()`."""
    return _provider


def whenever(attach: Callable[[Any], None]) -> None:
    """Have ``attach`` called with each provider that is or was in use, and with each that comes later."""
    _waiting.append(attach)
    for known in _alive():
        attach(known)


def _alive() -> list[Any]:
    return [known for reference in tuple(_known) if (known := reference()) is not None]
