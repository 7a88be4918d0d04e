# SPDX-License-Identifier: Apache-2.0
"""What `otel-agent serve` answers to a browser: the page, and the list of runs that it asks for every moment."""

from __future__ import annotations

import contextlib
import json
from http import HTTPStatus
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from .. import semconv
from ..ledger import reader
from ..ledger.admission import Answer
from ..ledger.segments import opened, raw, segments
from ._page import page

if TYPE_CHECKING:
    from pathlib import Path

    from ..redaction.policy import Policy

_MOST_RUNS = 500
_MOST_FILES = 2000
_FIRST_LINES = 64
_TAIL = 65_536
_SAFE = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))


class _Seen(NamedTuple):
    """What a file's beginning and end tell."""

    state: tuple[int, int]
    run_id: str
    started_ns: int
    agent: str
    outcome: str
    spans: bool


class Pages:
    """The plain HTTP answers for one folder. Not for several threads at once."""

    def __init__(self, folder: Path, policy: Policy, jaeger: str) -> None:
        self._folder = folder
        self._policy = policy
        html, csp = page({"jaeger": jaeger})
        self._page = Answer(HTTPStatus.OK, html, _headers("text/html", ("Content-Security-Policy", csp)))
        self._seen: dict[Path, _Seen] = {}

    def answer(self, path: str) -> Answer | None:
        """The answer to a request for ``path``, None where there is nothing. Raises `OSError`."""
        if path == "/":
            return self._page
        if path == "/runs":
            return Answer(HTTPStatus.OK, json.dumps(self._runs()), _headers("application/json"))
        return None

    def _runs(self) -> list[dict[str, Any]]:
        """The runs of the folder, the last begun first."""
        before, self._seen = self._seen, {}
        for file in _newest(segments(self._folder)):
            seen = _look(file, before.get(file))
            if seen is not None:
                self._seen[file] = seen
        found: dict[str, dict[str, Any]] = {}
        for seen in sorted(self._seen.values(), key=lambda one: one.started_ns):
            run = found.setdefault(
                seen.run_id, {"started_ns": seen.started_ns, "agent": "", "outcome": "", "spans": False}
            )
            run["agent"] = run["agent"] or self._policy.text(seen.agent)
            run["outcome"] = seen.outcome or run["outcome"]
            run["spans"] = run["spans"] or seen.spans
        newest = sorted(found.items(), key=lambda one: one[1]["started_ns"], reverse=True)[:_MOST_RUNS]
        return [{"run_id": self._policy.text(run_id), **run} for run_id, run in newest]


def _headers(kind: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", f"{kind}; charset=utf-8"), *_SAFE, *more)


def _newest(files: list[Path]) -> list[Path]:
    """The files that were written to last: a folder may hold those of years."""
    if len(files) <= _MOST_FILES:
        return files
    found: list[tuple[int, Path]] = []
    for file in files:
        with contextlib.suppress(OSError):
            found.append((file.stat().st_mtime_ns, file))
    return [file for _, file in sorted(found, reverse=True)[:_MOST_FILES]]


def _look(file: Path, before: _Seen | None) -> _Seen | None:
    """What ``file`` tells by now; None where it has no line that can be read, or is not ours to read."""
    try:
        told = file.stat()
        state = (told.st_size, told.st_mtime_ns)
        if before is not None and before.state == state:
            return before
        with opened(file) as stream:
            name = reader.run_by_name(file)
            first = [
                line for data, _ in islice(raw(stream), _FIRST_LINES) if data and (line := reader.line(data, name))
            ]
            last = _last(stream, told.st_size) if first else []
    except OSError:
        return None
    if not first:
        return None
    ended = [line for line in (*first, *last) if line.event == semconv.EVENT_SPAN_ENDED]
    outcomes = [
        found
        for line in ended
        if isinstance(found := _object(line.payload.get("attributes")).get(semconv.RUN_OUTCOME), str)
    ]
    agent = _object(first[0].tags).get("agent")
    return _Seen(
        state, first[0].run_id, reader.time_ns(first[0]), agent if isinstance(agent, str) else "",
        outcomes[-1] if outcomes else "", bool(ended) or (before is not None and before.spans),
    )  # fmt: skip


def _last(stream: IO[bytes], size: int) -> list[Any]:
    """The lines in a file's last bytes. The root's line is among them: whatever it waited for was written before."""
    stream.seek(max(0, size - _TAIL))
    return [line for data, _ in raw(stream) if data and (line := reader.line(data, "?")) and line.run_id != "?"]


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
