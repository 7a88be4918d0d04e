# SPDX-License-Identifier: Apache-2.0
"""Our own messages: a filter for our logger, so that nothing leaves by the log of the thing that guards the rest."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

from ..core.contain import Contained
from .policy import ERROR, default_policy

if TYPE_CHECKING:
    from .policy import Policy

_FILTER = Contained("redaction.logs")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class ScrubFilter(logging.Filter):
    """Redacts each record in place, its arguments, exception and extra fields too, before any handler sees it.

    A filter of a logger does not see its children's records, so all our code logs through one logger.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__()
        self._policy = (policy or default_policy()).at("own_log")

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact ``record``; on a fault of ours only its level and place are left. Always True."""
        safe = False
        with _FILTER:
            self._scrub(record)
            safe = True
        if not safe:
            record.msg, record.args = ERROR, None
            record.exc_info = record.exc_text = record.stack_info = None
            for name in vars(record).keys() - _STANDARD:
                delattr(record, name)
        return True

    def _scrub(self, record: logging.LogRecord) -> None:
        # Formatted here once: a secret may stand in the message, in an argument, or be made by joining them.
        record.msg, record.args = self._policy.text(record.getMessage()), None
        if record.exc_info:
            # Kept as text only: another handler would format the live exception anew.
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            record.exc_info = None
        if record.exc_text:
            record.exc_text = self._policy.text(record.exc_text)
        if record.stack_info:
            record.stack_info = self._policy.text(record.stack_info)
        extra: dict[str, Any] = vars(record)
        for name in extra.keys() - _STANDARD:
            extra[name] = self._policy.value(name, extra[name])


def scrub_logger(logger: logging.Logger, policy: Policy | None = None) -> None:
    """Add a `ScrubFilter` to ``logger``, unless it has one."""
    if not any(isinstance(existing, ScrubFilter) for existing in logger.filters):
        logger.addFilter(ScrubFilter(policy))
