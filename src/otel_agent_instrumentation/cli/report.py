# SPDX-License-Identifier: Apache-2.0
"""Write a run as one HTML file: its tree and timeline, tokens, cost, states, tools, events.

RUN is a ledger file or a run id (its beginning is enough); without it, the newest run. The file needs nothing else, no
network either, and is at most 3 MB: where a run has more, long texts are cut, then the first events are left out, and
the page says so. Exit codes: 0 written, 1 nothing found or the file cannot be written, 2 wrong usage.
"""

from __future__ import annotations

import gzip
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from .. import config
from ..ledger import reader
from ..ledger.leaving import leaving
from ..redaction.policy import Policy
from ._choice import DONE, NOTHING, fail, guarded, left_out, the_one
from ._page import jaeger, page
from ._progress import progress
from ._text import clean, plural, put

if TYPE_CHECKING:
    import argparse

    from ..ledger.reader import RunFiles

_MOST = 2_000_000
"""Bytes of the packed events: with base64 and the page about 2.8 MB."""
_CUTS = (2000, 200, 60)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class _Packed(NamedTuple):
    data: bytes
    cut: int
    left_out: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a file or a run id; by default the newest run")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write; by default <run id>.html")
    parser.add_argument("--jaeger", type=jaeger, metavar="URL", help="Jaeger's address, which spans then lead to")
    parser.add_argument("--json", action="store_true", help="tell what was written as JSON")


def run(options: argparse.Namespace) -> int:
    """Write the report."""
    return guarded(_run, options, options.output or options.run)


def _run(options: argparse.Namespace) -> int:
    files = the_one(options.run)
    if files is None:
        return NOTHING
    lines, unreadable = _lines(files)
    left_out(files, unreadable)
    packed = _packed(lines)
    told = {
        "run_id": files.run_id,
        "made": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "jaeger": options.jaeger or "",
        "cut": packed.cut,
        "left_out": packed.left_out,
    }
    html = page(told, packed.data).html.encode()
    path = Path(options.output or f"{_UNSAFE.sub('_', files.run_id)}.html")
    path.write_bytes(html)
    if options.json:
        counts = {"events": len(lines), "left_out": packed.left_out, "texts_cut_at": packed.cut or None}
        put(json.dumps({"file": str(path), "run_id": files.run_id, "bytes": len(html), **counts}))
    else:
        put(f"{clean(str(path))}: {plural(len(lines), 'event')}, {len(html) / 1e6:.2f} MB")
    if packed.left_out:
        fail(f"the first {plural(packed.left_out, 'event')} are left out: the run is too long for one page")
    return DONE


def _lines(run: RunFiles) -> tuple[list[bytes], int]:
    """The lines of a run by time, redacted as whatever leaves; and how many could not be read."""
    # A shell may have written into the ledger, and a report is made to be sent around.
    policy = Policy(settings=config.load()).at("report")
    events = reader.events(run)
    found: list[bytes] = []
    with progress("redacting", len(events.lines)) as step:
        for number, line in enumerate(events.lines):
            step(number)
            data = leaving(line, policy)
            if data is not None:
                found.append(data)
    return found, events.unreadable + len(events.lines) - len(found)


def _packed(lines: list[bytes]) -> _Packed:
    data = _gzipped(lines)
    if len(data) <= _MOST:
        return _Packed(data, 0, 0)
    cut = 0
    for cut in _CUTS:
        lines = [msgspec.json.encode(_cut(msgspec.json.decode(line), cut)) for line in lines]
        data = _gzipped(lines)
        if len(data) <= _MOST:
            return _Packed(data, cut, 0)
    before = len(lines)
    while len(data) > _MOST and lines:
        # A little more than what is too much, so that a second look is rare.
        lines = lines[len(lines) - int(len(lines) * min(0.95, 0.97 * _MOST / len(data))) :]
        data = _gzipped(lines)
    return _Packed(data, cut, before - len(lines))


def _gzipped(lines: list[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines), 6, mtime=0)


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key: _cut(item, most) for key, item in cast("dict[str, Any]", value).items()}
    return [_cut(item, most) for item in cast("list[Any]", value)] if isinstance(value, list) else value
