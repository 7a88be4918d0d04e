# SPDX-License-Identifier: Apache-2.0
"""The ledger's lines over TCP: a lane of its own, flushed and ended with the others (requirements, E5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.batch import Lane
from ..pipeline.queue import Limits
from ..pipeline.tcp import TcpTarget

if TYPE_CHECKING:
    from ..config import Settings
    from ..pipeline.exit import ExitCoordinator


def open_lane(address: tuple[str, int], settings: Settings, coordinator: ExitCoordinator | None) -> Lane[bytes]:
    """The lane to ``address``. Its worker connects with the first line."""
    limits = Limits(delay=0.2, max_items=65_536, max_bytes=settings.queue_bytes, attempt=settings.timeout)
    lane = Lane[bytes]("ledger lines", TcpTarget(*address), limits)
    if coordinator is not None:
        # Ended at the very end alone: the lines about the process's end are to leave, too.
        coordinator.register_call("ledger socket", lane.flush, flush=lane.flush)
    return lane
