# SPDX-License-Identifier: Apache-2.0
"""Silence while doctor looks: a client's import may print, stdout may be read as JSON, a log may quote a header."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

_QUIET: Final = ("otel_agent_instrumentation", "opentelemetry")


class Heard(logging.Handler):
    """Keeps what is logged meanwhile from stderr: as the format without its arguments, which may hold a header."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note the logger's name and what it says, up to where a value could begin."""
        text = str(record.msg).partition("%")[0] if record.args else str(record.msg).partition(":")[0]
        if record.name.startswith("opentelemetry"):
            self.lines.setdefault(f"{record.name} {text}", f"{record.name}: {text.strip(' :(')}")


@contextmanager
def quiet() -> Generator[Heard]:
    """While doctor looks, nothing is logged or printed: a client's import may print, and stdout may be read as JSON."""
    heard = Heard()
    kept: list[tuple[logging.Logger, list[logging.Handler], bool]] = []
    for name in _QUIET:
        logger = logging.getLogger(name)
        kept.append((logger, logger.handlers, logger.propagate))
        logger.handlers, logger.propagate = [heard], False
    try:
        with redirect_stdout(sys.stderr):
            yield heard
    finally:
        for logger, handlers, propagate in kept:
            logger.handlers, logger.propagate = handlers, propagate
