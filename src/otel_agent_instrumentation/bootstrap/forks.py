# SPDX-License-Identifier: Apache-2.0
"""What has to be done around a fork: nobody forks in the middle of an import of ours; a child begins anew."""

from __future__ import annotations

import os
import threading

from ..core import runs
from ..core.contain import Contained
from ..redaction import loading
from .providers import metrics_in_child
from .state import loaded_observers, state

_HOOKS = Contained("install.fork")
_LONGEST_IMPORT = 2.0  # seconds
_watched: list[bool] = []


def watch() -> None:
    """Register the hooks, once."""
    if hasattr(os, "register_at_fork") and not _watched:
        _watched.append(True)
        os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def _before_fork() -> None:
    # The ledger's modules are imported with the first event, on a thread of ours: a child forked meanwhile would
    # have them half imported, for good. So nobody forks while that goes on. The observers' likewise.
    with _HOOKS:
        state.held = [
            lock for lock in (state.observing, state.opening, loading.lock) if lock.acquire(timeout=_LONGEST_IMPORT)
        ]


def _in_parent() -> None:
    held, state.held = state.held, []
    for lock in held:
        lock.release()


def _in_child() -> None:
    with _HOOKS:
        if loading.lock in state.held:
            loading.lock.release()  # by the thread that took it: the child has no other
    state.held = []
    with _HOOKS:
        runs.after_fork_in_child()
        observers = loaded_observers()
        if observers is not None:
            observers.forget_in_child()
        state.opening = threading.Lock()  # held for the fork, by a thread that the child does not have
        state.observing = threading.RLock()
        if state.providers is not None:
            metrics_in_child(state.providers.meter)
        if state.writer is not None:
            state.writer.reset_in_child()
