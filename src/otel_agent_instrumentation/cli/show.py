# SPDX-License-Identifier: Apache-2.0
"""Show a run as a tree, from its ledger alone.

RUN is a ledger file, a folder of them, or a run id (its beginning is enough); without it, the newest run is shown.
Exit codes: 0 shown, 1 nothing found, 2 wrong usage.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import config, semconv
from ..envelope.line import timestamp
from ..ledger import reader
from ._render import text
from ._text import clean, colourful, plural, put
from ._tree import Node, Tree, build, model, retries, walk

if TYPE_CHECKING:
    import argparse

    from ..ledger.reader import RunFiles

_SHOWN, _NOTHING = 0, 1
_COLUMNS = 100
"""How wide the output is where it goes to no terminal."""
_LOOK_BACK = 20
"""How many of the newest runs are looked at for one that has spans; a process's own log may be newer than any run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a file, a folder or a run id; by default the newest run")
    parser.add_argument("--json", action="store_true", help="write the run as JSON, its spans as a flat list")
    parser.add_argument("--no-color", action="store_true", help="no colours, also on a terminal")


def run(options: argparse.Namespace) -> int:
    """Show what was asked for."""
    settings = config.load()
    try:
        found = _chosen(options.run, Path(settings.ledger_dir), settings.ledger_path)
        shown = [_show(files, options) for files in found]
    except BrokenPipeError:
        raise  # whoever reads our output has left, which is no fault of a ledger file
    except OSError as error:
        place = error.filename or options.run or settings.ledger_dir
        return _fail(f"{clean(str(place))}: {error.strerror}")
    return _SHOWN if any(shown) else _NOTHING


def _chosen(wanted: str | None, folder: Path, shared: str | None) -> list[RunFiles]:
    """The runs that are to be shown; empty, and said so, where there are none."""
    if wanted is not None and (path := Path(wanted)).exists():
        if not path.is_dir():
            found = reader.runs_of(path)
            if not found:
                _fail(f"{clean(wanted)}: no line of it can be read as an event")
            return found
        folder, wanted, shared = path, None, None
    known = reader.runs_of(Path(shared))[::-1] if shared and Path(shared).exists() else []
    known = [*known, *reader.runs(folder)]
    if wanted is None:
        if not known:
            _fail(f"no run in {clean(str(shared or folder))}: start an agent with `opentelemetry-instrument` first")
        return [_newest(known)] if known else []
    matching = [run for run in known if run.run_id == wanted] or [run for run in known if run.run_id.startswith(wanted)]
    if len(matching) > 1:
        _fail(f"{clean(wanted)}: {len(matching)} runs begin with that, the newest is shown")
    elif not matching:
        _fail(f"{clean(wanted)}: neither a file nor a run in {clean(str(shared or folder))}")
    return matching[:1]


def _newest(known: list[RunFiles]) -> RunFiles:
    newest_first = sorted(known, key=lambda run: run.modified, reverse=True)
    for run in newest_first[:_LOOK_BACK]:
        lines = (line for file in run.files for line in reader.lines(file))
        if any(
            line is not None and line.event == semconv.EVENT_SPAN_ENDED and line.run_id == run.run_id for line in lines
        ):
            return run
    return newest_first[0]


def _show(files: RunFiles, options: argparse.Namespace) -> bool:
    events = reader.events(files)
    if events.unreadable:
        where = files.files[0].name if len(files.files) == 1 else plural(len(files.files), "file")
        _fail(f"left out of {clean(where)}: {plural(events.unreadable, 'line')} that cannot be read")
    tree = build(files.run_id, events.lines)
    if tree is None:
        _fail(f"run {clean(files.run_id)}: nothing to show, only a resource, metrics or logs")
        return False
    if options.json:
        # Escaped to ASCII: a name's control characters stay data, also in a terminal.
        put(json.dumps(document(tree, events.unreadable), indent=2))
        return True
    columns = shutil.get_terminal_size((_COLUMNS, 24)).columns
    put(text(tree, columns, colours=colourful(sys.stdout, refused=options.no_color)))
    return True


def _fail(message: str) -> int:
    put(f"otel-agent: {message}", sys.stderr)
    return _NOTHING


def document(tree: Tree, unreadable: int) -> dict[str, Any]:
    """The tree as plain data. The spans are a flat list in the tree's order; `depth` and ids tell the nesting."""
    return {
        "run_id": tree.run_id,
        "agent": tree.agent,
        "outcome": tree.outcome or None,
        "ended": tree.ended,
        "started": _when(tree.root.start_ns),
        "duration_ms": round(tree.root.duration * 1000, 3),
        "cycles": tree.cycles,
        "traces": tree.traces,
        "total": asdict(tree.total),
        "models": {name: asdict(sums) for name, sums in tree.models.items()},
        "log_records": tree.logs,
        "unreadable_lines": unreadable,
        "spans": [_told(node, depth) for node, depth in walk(tree.root)],
    }


def _told(node: Node, depth: int) -> dict[str, Any]:
    first = node.first_chunk
    call = {
        "model": model(node),
        "first_chunk_ms": None if first is None else round(first * 1000, 3),
        "input_tokens": node.number(semconv.USAGE_INPUT_TOKENS),
        "cached_tokens": node.number(semconv.USAGE_CACHE_READ),
        "output_tokens": node.number(semconv.USAGE_OUTPUT_TOKENS),
        "reasoning_tokens": node.number(semconv.USAGE_REASONING),
        "finish_reasons": node.texts(semconv.RESPONSE_FINISH_REASONS),
        "tool_calls": node.texts(semconv.TOOL_CALL_NAMES),
        "retries": retries(node),
    }
    return {
        "kind": node.kind,
        "name": node.name,
        "depth": depth,
        "cycle": node.cycle,
        "started": _when(node.start_ns),
        "duration_ms": round(node.duration * 1000, 3),
        "error": node.error,
        "trace_id": node.trace_id or None,
        "span_id": node.span_id or None,
        "parent_span_id": node.parent_id or None,
        "pid": node.pid,
        "scope": node.foreign or None,
        **(call if node.kind == "call" else {}),
    }


def _when(time_ns: int) -> str | None:
    try:
        return timestamp(time_ns)
    except (ValueError, OverflowError, OSError):
        return None
