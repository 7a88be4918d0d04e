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
        self._redact = redact

    def tell(self, record: EventRecord, context: Context | None) -> None:
        """Tell ``record``, in ``context``: that of the span it belongs to."""
        run = record.run
        about = attributes.of_run(run, record.cycle) if run is not None else {}
        self._logger.emit(
            timestamp=record.time_ns,
            context=context,
            severity_number=SeverityNumber.INFO,
            event_name=record.name,
            attributes={**about, **self._redact(record.payload)},
        )
        if records.wanted():
            records.emit(record)
