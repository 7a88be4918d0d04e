# SPDX-License-Identifier: Apache-2.0
"""An event of ours, told twice: as an OTel log event, and as a line of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber

from ..core import records
from . import attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import Logger
    from opentelemetry.context import Context

    from ..core.records import EventRecord


class Teller:
    """Gives events to OTel's logs and to the ledger. The log record's attributes are the run's and the payload's."""

    def __init__(self, logger: Logger, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        self._logger = logger
        self._enabled: Any = getattr(logger, "enabled", None)  # a logger of somebody's API may have none
        self._redact = redact

    def tell(self, make: Callable[[], EventRecord], context: Context | None) -> None:
        """Tell what ``make`` gives, if anybody wants it, in ``context``: that of the span it belongs to."""
        logged, kept = self._enabled is None or self._enabled(), records.wanted()
        if not logged and not kept:
            return
        record = make()
        if logged:
            about = attributes.of_run(record.run, record.cycle) if record.run is not None else {}
            self._logger.emit(
                timestamp=record.time_ns,
                context=context,
                severity_number=SeverityNumber.INFO,
                event_name=record.name,
                attributes={**about, **self._redact(record.payload)},
            )
        if kept:
            records.emit(record)
