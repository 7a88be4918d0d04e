# SPDX-License-Identifier: Apache-2.0
"""The agent's own `logging`, where logs are exported: by OTel's handler, which adds trace and span id to each record.

OTel's handler is not hung on the root logger, as its own packages do: `logging.basicConfig` would then do nothing, and
warnings of an agent that configures no logging would no longer reach stderr. It is called after the handlers that the
agent has. Where somebody else has hung one on the root logger, that one tells.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current

from .. import semconv
from ..core import patching
from ..core.contain import Contained
from ..core.patching import Integration, Seam
from ..core.suppress import suppressed
from .choices import choose

if TYPE_CHECKING:
    from ..config import Settings

_EMIT = Contained("log_records.emit")
_HANDLER = "LoggingHandler"
_LEVELS = {
    "notset": logging.NOTSET,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# What OTel and we say about the export of a record would be a record to export.
_QUIET = ("opentelemetry", semconv.SCOPE)


def take(settings: Settings, logger_provider: Any, *, own: bool) -> None:
    """Have log records told to ``logger_provider``, if they are exported or asked for. ``own``: built by us."""
    wanted = settings.log_records
    if wanted is None:
        wanted = own and bool(choose(settings, "logs").exporters)
    if not wanted:
        return
    handler = _handler(_LEVELS[settings.log_level], logger_provider)

    def told(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        with _EMIT:
            record: logging.LogRecord = args[0] if args else kwargs["record"]
            if record.levelno >= handler.level and _is_for_us(instance, record):
                handler.handle(record)
        return result

    patching.apply(Integration("logging", "", (Seam("logging", "Logger.callHandlers", told, "log records"),)))


def _handler(level: int, logger_provider: Any) -> logging.Handler:
    try:
        from opentelemetry.instrumentation.logging.handler import (  # pyright: ignore[reportMissingImports]
            LoggingHandler,  # pyright: ignore[reportUnknownVariableType] - not installed by us
        )
    except ImportError:
        from opentelemetry.sdk._logs import LoggingHandler

    with warnings.catch_warnings():  # the SDK's own one is deprecated for the other
        warnings.simplefilter("ignore", DeprecationWarning)
        return LoggingHandler(level=level, logger_provider=logger_provider)  # pyright: ignore[reportUnknownVariableType]


def _is_for_us(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Whether a handler of the root logger would see the record, and none of OTel's does."""
    name = record.name
    if name.startswith(_QUIET) and name.partition(".")[0] in _QUIET:
        return False
    if suppressed(get_current()):
        return False  # an exporter at work: its client's own log lines
    above: logging.Logger | None = logger
    while above is not None:
        if any(type(one).__name__ == _HANDLER for one in above.handlers):
            return False
        if not above.propagate:
            return above.parent is None
        above = above.parent
    return True
