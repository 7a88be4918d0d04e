# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: flush, then die of it. Only where the agent left the signal at its default, and never instead of its own.

A handler that the agent installs, earlier or later, wins: ours is then not installed, or replaced and never called. If
the agent's handler calls the one before it, ours flushes and returns: what the process does next is not ours to say.
Python runs a handler between two of its own instructions: a process inside one long call of a C library dies after it.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Sigterm:
    """The handler.

    ``before_death`` and ``when_chained`` must return within their budget. If the former returns False, the process is
    ending already, and whoever ends it calls `die`.
    """

    def __init__(self, before_death: Callable[[], bool], when_chained: Callable[[], None]) -> None:
        self._before_death = before_death
        self._when_chained = when_chained
        # One object: each access of a method makes another, and `getsignal` must tell ours by identity.
        self._handler = self._handle
        self._dying = 0

    def install(self) -> bool:
        """Install the handler in the main thread and over the default only; returns whether it is installed."""
        if threading.current_thread() is not threading.main_thread():
            return False
        try:
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._handler)
        except ValueError:
            # A subinterpreter has a main thread, but no signals.
            return False
        return self.installed()

    def installed(self) -> bool:
        """Whether ours is the handler now."""
        return signal.getsignal(signal.SIGTERM) is self._handler

    def remove(self) -> None:
        """Restore the default where ours is still installed."""
        if threading.current_thread() is threading.main_thread() and self.installed():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the interpreter's signature
        if not self.installed():
            self._when_chained()
            return
        now = True
        try:
            # A second signal does not wait for what the first one began.
            if self._dying != os.getpid():
                self._dying = os.getpid()
                now = self._before_death()
        finally:
            if now:
                self.die()

    @staticmethod
    def die() -> None:
        """Die of the signal, as a process without a handler does. In the main thread."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
        # Reached only where this thread blocks the signal.
        os.kill(os.getpid(), signal.SIGTERM)
