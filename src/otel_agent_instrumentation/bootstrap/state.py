# SPDX-License-Identifier: Apache-2.0
"""What is installed in this process."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import config

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..ledger.writer import Writer
    from ..pipeline.batch import Lane
    from ..pipeline.exit import ExitCoordinator
    from ..signals.run import RunTracker
    from .providers import Providers


@dataclass(slots=True, eq=False, repr=False)
class State:
    """What is installed in this process."""

    settings: config.Settings = field(default_factory=config.Settings)
    coordinator: ExitCoordinator | None = None
    providers: Providers | None = None
    """The providers that this package built; they outlive `uninstrument()`: OTel's globals are set once."""
    resource: Any = None
    """That of the spans, whoever built their provider; None where there are none."""
    writer: Writer | None = None
    lanes: list[Lane[bytes]] = field(default_factory=list["Lane[bytes]"])
    """Deliver the ledger's lines on other ways than its files."""
    tracker: RunTracker | None = None
    guarded: list[Any] = field(default_factory=list[Any])
    """Providers of the application that the guard was put around."""
    proven: list[Any] = field(default_factory=list[Any])
    """Providers through which the self-check's canary went redacted."""
    opening: threading.Lock = field(default_factory=threading.Lock)
    held: list[threading.Lock | threading.RLock] = field(default_factory=list["threading.Lock | threading.RLock"])
    """What is held for a fork that is under way."""
    arranged: ExitCoordinator | None = None
    """The coordinator that has been told what to do at exit."""
    active: bool = False
    observe: Callable[[], None] | None = None
    """What `ready` has to do still."""
    observing: threading.RLock = field(default_factory=threading.RLock)
    guard_ok: bool = True


state = State()

_ENGINE = "otel_agent_instrumentation.core.engine"


def loaded_observers() -> Any:
    """The module `observers`, where there is an engine to speak of."""
    if _ENGINE not in sys.modules:
        return None
    from . import observers

    return observers
