# SPDX-License-Identifier: Apache-2.0
"""The one line on stderr at exit: what was written, what was lost, and how to see more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..config import is_root
from ..pipeline.accounts import snapshots

if TYPE_CHECKING:
    from ..config import Settings
    from ..ledger.writer import Writer


def tell(writer: Writer | None, settings: Settings) -> None:
    """Write the line, if there is anything to say and this is the process that the person started."""
    line = sentence(writer)
    if line and settings.summary and is_root() and sys.stderr is not None:
        sys.stderr.write(f"otel-agent: {line}\n")
    if writer is not None:
        writer.close()


def sentence(writer: Writer | None) -> str:
    """What the line says: nothing where nothing was recorded and nothing lost."""
    parts: list[str] = []
    if writer is not None and writer.written:
        files = sorted(writer.written)
        more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
        parts.append(f"{sum(writer.written.values())} events in {files[0]}{more}; see `otel-agent show {files[0]}`")
    if writer is not None and writer.dropped:
        parts.append(f"{writer.dropped} events could not be written")
    parts += [
        books.sentence()
        for books in snapshots()
        if (books.lost or books.unknown or books.queued) and books.exporter != "EnvelopeSpanExporter"
    ]
    return "; ".join(parts)
