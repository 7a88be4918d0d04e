# SPDX-License-Identifier: Apache-2.0
"""Containment: a fault of ours costs one fact, never the user's call.

This is the only module that may catch ``Exception``. Everything of ours that runs inside a user's call
runs under a :class:`Contained` block; a fault is counted by site and logged once per site, without the
fault's message, which may quote a prompt or a key.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_A = TypeVar("_A")
_T = TypeVar("_T")

_log = logging.getLogger("otel_agent_instrumentation")
# Reentrant: a finaliser of ours may run, and fault, while this thread counts another fault.
_lock = threading.RLock()
_faults: Counter[str] = Counter()
_warned: set[str] = set()


class Contained:
    """A reusable ``with`` block that swallows and records ``Exception`` (never ``BaseException``).

    One instance serves a site for the life of the process: it holds no state of a call.
    """

    __slots__ = ("site",)

    def __init__(self, site: str) -> None:
        self.site = site

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if kind is None:
            return False
        return self.swallows(error)

    def swallows(self, error: BaseException | None) -> bool:
        """Record ``error`` if it is to be contained; else the caller raises it on.

        For a bare `try` where the two calls of a `with` would be paid for with every chunk of a stream.
        """
        if not isinstance(error, Exception):
            return False
        record_fault(self.site, error)
        return True


def call(site: str, function: Callable[..., _T], *args: Any, default: _T | None = None) -> _T | None:
    """Return ``function(*args)``, or ``default`` if it raised; the fault is recorded under ``site``."""
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001 - containment is this module's purpose
        record_fault(site, error)
        return default


def guard(site: str, function: Callable[[_A], _T]) -> Callable[[_A], _T | None]:
    """``function`` of one argument, contained, for what runs per chunk: a third of the price of a `with` block."""

    def contained(argument: _A) -> _T | None:
        try:
            return function(argument)
        except Exception as error:  # noqa: BLE001 - containment is this module's purpose
            record_fault(site, error)
            return None

    return contained


def record_fault(site: str, error: BaseException | None, *, told: bool = False) -> None:
    """Count a fault of ours at ``site`` and say so once, unless the caller has ``told`` it better. Never raises."""
    try:
        with _lock:
            _faults[site] += 1
            first = not told and site not in _warned
            if first:
                _warned.add(site)
        if first:
            _log.warning(
                "otel-agent: internal fault at %s (%s); the call itself is unaffected, one fact of it is missing. "
                "Further faults at this place are only counted: see `otel-agent doctor`.",
                site,
                type(error).__name__,
            )
            _log.debug("otel-agent: the fault at %s", site, exc_info=error)
    except Exception:  # noqa: BLE001, S110 - nothing is left that could be told to anyone
        pass


def warn_once(key: str, message: str, *args: object) -> bool:
    """Log ``message`` at WARNING the first time ``key`` is seen. Returns whether it was logged."""
    with _lock:
        if key in _warned:
            return False
        _warned.add(key)
    try:
        _log.warning(message, *args)
    except Exception as error:  # noqa: BLE001 - a filter or handler of the application's
        record_fault("contain.warn_once", error)
    return True


def faults() -> dict[str, int]:
    """Contained faults so far: site to count. A copy."""
    with _lock:
        return dict(_faults)


def reset() -> None:
    """Forget all faults and warnings: for tests and for `uninstrument()`."""
    with _lock:
        _faults.clear()
        _warned.clear()


def after_fork_in_child() -> None:
    """Replace the lock: another thread of the parent may have held it at the fork."""
    global _lock  # noqa: PLW0603 - a lock can only be replaced
    _lock = threading.RLock()
