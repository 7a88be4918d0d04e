# SPDX-License-Identifier: Apache-2.0
"""Show the last events of the ledger, and with -f those that come.

WHERE is a ledger file or a folder of them; by default the ledger's. One event a line: its time, its run, its name and
the beginning of its payload. Exit codes: 0 shown, 1 nothing there, 2 wrong usage.
"""

from __future__ import annotations

import heapq
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config
from ..ledger import filters
from ..ledger.follow import Follower
from ._text import clean, put

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..ledger.follow import Told

_PAUSE = 0.1
_PAYLOAD = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("where", nargs="?", metavar="WHERE", help="a file or a folder; by default the ledger's")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("-n", "--lines", type=int, default=10, metavar="N", help="how many of the last (default: 10)")
    parser.add_argument("--json", action="store_true", help="the lines as JSON of the envelope")
    for key in filters.KEYS:
        told = "the least severe" if key == "severity" else "globs; any of them"
        parser.add_argument(f"--{key}", action="append", metavar=key.upper(), help=f"only of this {key} ({told})")


def run(options: argparse.Namespace) -> int:
    """Show what is there, and follow if asked."""
    settings = config.load()
    where = Path(options.where or settings.ledger_path or settings.ledger_dir)
    try:
        wanted = filters.compiled(filters.read({key: v for key in filters.KEYS if (v := getattr(options, key))}))
    except ValueError as error:
        put(f"otel-agent: {error}", sys.stderr)
        return 2
    if not where.exists() and not options.follow:
        put(f"otel-agent: {clean(str(where))}: there is no such file or folder", sys.stderr)
        return 1
    follower = Follower(where, from_start=True)
    found = (told for told in _there(follower) if wanted(told.head))
    last = heapq.nlargest(max(0, options.lines), enumerate(found), key=lambda one: (one[1].clock, one[0]))
    _show([told for _, told in reversed(last)], options)
    if follower.unreadable:
        put(f"otel-agent: {follower.unreadable} lines that cannot be read are left out", sys.stderr)
    while options.follow:
        sys.stdout.flush()
        time.sleep(0 if follower.more else _PAUSE)
        _show([told for told in follower.poll() if wanted(told.head)], options)
    return 0 if last else 1


def _there(follower: Follower) -> Iterator[Told]:
    """All that is there by now, read a piece at a time."""
    yield from follower.poll()
    while follower.more:
        yield from follower.poll()


def _show(events: list[Told], options: argparse.Namespace) -> None:
    for told in events:
        head = told.head
        if options.json:
            put(told.data.decode("utf-8", "replace").strip())
            continue
        payload = clean(bytes(head.payload).decode("utf-8", "replace"), _PAYLOAD)
        put(f"{clean(head.timestamp[11:23]):12}  {clean(head.run_id[-8:])}  {clean(head.event)}  {payload}")
