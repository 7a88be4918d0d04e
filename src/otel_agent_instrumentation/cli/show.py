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
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..envelope.line import timestamp
from ._choice import DONE, HELP, NOTHING, chosen, guarded, tree_of
from ._render import text
from ._text import COLUMNS, colourful, put
from ._tree import Node, Tree, model, retries, walk

if TYPE_CHECKING:
    import argparse

    from ..ledger.reader import RunFiles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("run", nargs="?", metavar="RUN", help=f"{HELP}; by default the newest run")
    parser.add_argument("--json", action="store_true", help="write the run as JSON, its spans as a flat list")
    parser.add_argument("--no-color", action="store_true", help="no colours, also on a terminal")


def run(options: argparse.Namespace) -> int:
    """Show what was asked for."""
    return guarded(_run, options, options.run)


def _run(options: argparse.Namespace) -> int:
    shown = [_show(files, options) for files in chosen(options.run)]
    return DONE if any(shown) else NOTHING


def _show(files: RunFiles, options: argparse.Namespace) -> bool:
    tree, unreadable = tree_of(files)
    if tree is None:
        return False
    if options.json:
        # Escaped to ASCII: a name's control characters stay data, also in a terminal.
        put(json.dumps(document(tree, unreadable), indent=2))
        return True
    columns = shutil.get_terminal_size((COLUMNS, 24)).columns
    put(text(tree, columns, colours=colourful(sys.stdout, refused=options.no_color)))
    return True


def document(tree: Tree, unreadable: int) -> dict[str, Any]:
    """The tree as plain data. The spans are a flat list in the tree's order; `depth` and ids tell the nesting."""
    return {
        "run_id": tree.run_id,
        "agent": tree.agent,
        "outcome": tree.outcome or None,
        "ended": tree.ended,
        "started": when(tree.root.start_ns),
        "duration_ms": round(tree.root.duration * 1000, 3),
        "cycles": tree.cycles,
        "traces": tree.traces,
        "total": asdict(tree.total),
        "models": {name: asdict(sums) for name, sums in tree.models.items()},
        "log_records": tree.logs,
        "unreadable_lines": unreadable,
        "spans": [told(node, depth) for node, depth in walk(tree.root)],
    }


def told(node: Node, depth: int) -> dict[str, Any]:
    """A node as plain data: times as ISO 8601 and in milliseconds, counts None where the answer did not say."""
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
        "started": when(node.start_ns),
        "duration_ms": round(node.duration * 1000, 3),
        "error": node.error,
        "trace_id": node.trace_id or None,
        "span_id": node.span_id or None,
        "parent_span_id": node.parent_id or None,
        "pid": node.pid,
        "scope": node.foreign or None,
        **(call if node.kind == "call" else {}),
    }


def when(time_ns: int) -> str | None:
    """ISO 8601, or None for a time beyond any calendar."""
    try:
        return timestamp(time_ns)
    except (ValueError, OverflowError, OSError):
        return None
