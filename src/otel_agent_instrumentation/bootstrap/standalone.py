# SPDX-License-Identifier: Apache-2.0
"""`emit_event` in a process that nobody instrumented: a script that only records events has its ledger, too."""

from __future__ import annotations

from .. import config
from ..core import handover, runs
from ..core.contain import Contained
from ..pipeline.exit import ExitCoordinator
from ..signals import emit
from . import install, ledger
from .state import state

_PLACE = Contained("standalone.place")


def attend() -> None:
    """Have emitted events recorded, where no `instrument()` came before; one that comes later takes over."""
    if state.active or emit.used():
        return
    settings = install.settle()
    if settings.sdk_disabled:
        return
    with _PLACE:
        told = config.parent_run()
        if told is not None:
            runs.inherit(handover.there(*told))
    if state.coordinator is None:
        state.coordinator = ExitCoordinator(settings.exit_timeout)
    ledger.open_outlet(settings)
    install.arm(settings, state.coordinator)
