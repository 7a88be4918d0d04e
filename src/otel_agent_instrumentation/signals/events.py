# SPDX-License-Identifier: Apache-2.0
"""The convention's opt-in event with a call's content, as an OTel log event and as a ledger line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from .. import semconv
from ..core import records
from ..core.settings import current as settings
from . import attributes
from .spans import content_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import Logger

    from ..core.spec import Call


class Events:
    """The event observer: `gen_ai.client.inference.operation.details` where content goes to events."""

    name = "events"

    def __init__(
        self,
        logger: Logger,
        flavours: tuple[semconv.Flavour, ...],
        redact: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        self._logger = logger
        self._cache_write = tuple(dict.fromkeys(flavour.cache_write for flavour in flavours))
        self._redact = redact

    def on_end(self, call: Call) -> None:
        """Emit the event, in the call's context, if content goes to events."""
        if settings().content not in {"EVENT_ONLY", "SPAN_AND_EVENT"} or call.api.durations is not None:
            return  # what has metrics of its own is no model call
        content, given = content_of(call, self._redact)
        told = {
            **attributes.at_start(call),
            **call.request.params,  # those that are content, too
            **attributes.at_end(call, self._cache_write),
            **content,
            **given,
        }
        self._logger.emit(
            timestamp=call.end_ns,
            context=call.context,
            severity_number=SeverityNumber.DEBUG,
            event_name=semconv.EVENT_INFERENCE_DETAILS,
            attributes=told,
        )
        if records.wanted():
            ids = call.ids or INVALID_SPAN_CONTEXT
            records.emit(
                records.EventRecord(
                    semconv.EVENT_INFERENCE_DETAILS,
                    call.end_ns,
                    told,
                    ids.trace_id,
                    ids.span_id,
                    run=call.run,
                    cycle=call.cycle,
                )
            )
