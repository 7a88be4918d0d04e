# SPDX-License-Identifier: Apache-2.0
"""The one line on stderr at exit: what was written, what was lost, and how to see more."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..config import is_root
from ..pipeline.accounts import snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Settings
    from ..ledger.writer import Writer
    from ..pipeline.accounts import Snapshot

# Their books are the ledger's own: `writer.dropped` says what it lost.
_LEDGER = frozenset({"EnvelopeSpanExporter", "EnvelopeLogExporter"})


def tell(
    writer: Writer | None, settings: Settings, left: float, deliver: Callable[[float], object] | None = None
) -> None:
    """Write the line, if there is anything to say and this is the process that the person started.

    ``left``: seconds for what the ledger has still to write. It was flushed before: on a busy machine not to the end.
    ``deliver`` has what it wrote leave on other ways, too, within as many seconds.
    """
    deadline = time.monotonic() + left
    if writer is not None:
        writer.flush(left * 0.8)
        if writer.written:
            _close_the_books(writer)
            writer.flush(deadline - time.monotonic())
    if deliver is not None:
        deliver(left)
    line = sentence(writer)
    if line and settings.summary and is_root() and sys.stderr is not None:
        sys.stderr.write(f"otel-agent: {line}\n")
    if writer is not None:
        writer.close(deadline - time.monotonic())


def _close_the_books(writer: Writer) -> None:
    """One last line in the ledger: what was emitted, exported, dropped and lost from sight, by exporter."""
    books = [_told(item) for item in snapshots() if item.emitted and item.exporter not in _LEDGER]
    if books:
        from ..ledger.lines import Event

        payload = {"pipelines": books, "redacted_fields": []}
        writer.write(Event(semconv.EVENT_PIPELINE, time.time_ns(), payload, writer.last))


def _told(books: Snapshot) -> dict[str, Any]:
    return {
        "signal": books.signal,
        "exporter": books.exporter,
        "emitted": books.emitted,
        "exported": books.exported,
        "dropped": dict(books.dropped),
        "unknown": books.unknown,
        "queued": books.queued,
    }


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
        if (books.lost or books.unknown or books.queued) and books.exporter not in _LEDGER
    ]
    return "; ".join(parts)
