# SPDX-License-Identifier: Apache-2.0
"""The lane of the ledger's lines to a socket (`OTEL_AGENT_LEDGER_TCP`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.batch import Lane
from ..pipeline.queue import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Settings
    from ..pipeline.exit import ExitCoordinator


def connect(settings: Settings, coordinator: ExitCoordinator | None) -> tuple[Lane[bytes], Callable[[bytes], None]]:
    """Return the lane, flushed with the others and ended after them, and what hands a line to it."""
    from ..pipeline.tcp import TcpTarget

    host, port = settings.ledger_tcp or ("", 0)
    limits = Limits(delay=0.2, max_items=65_536, max_bytes=settings.queue_bytes, attempt=settings.timeout)
    lane = Lane[bytes]("ledger lines", TcpTarget(host, port), limits)
    if coordinator is not None:
        # Not ended with the queues: the lines about the process's end are to leave, too.
        coordinator.register_call("ledger socket", lane.flush, flush=lane.flush)

    def hand_over(line: bytes) -> None:
        lane.put(line, len(line))

    return lane, hand_over
