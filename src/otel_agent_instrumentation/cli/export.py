# SPDX-License-Identifier: Apache-2.0
"""Write runs as a table, for a spreadsheet or a notebook: a row for each span, or for each event.

WHERE is a ledger file, a folder of them or a run id (its beginning is enough); without it, all runs of the ledger. In
CSV a text that a spreadsheet would take for a formula gets an apostrophe before it. Exit codes: 0 written, 1 nothing
found or the file cannot be written, 2 wrong usage, or Parquet without pyarrow.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from .. import semconv
from ..ledger import reader
from ._choice import DONE, HELP, NOTHING, every, fail, guarded
from ._progress import progress
from ._text import clean, plural
from ._tree import build, walk
from .show import told

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Iterator

    from ..ledger.reader import RunFiles

    _Rows = Iterator[dict[str, Any]]

_UNUSABLE = 2
_BATCH = 4096
_SPAN = {
    "run_id": str,
    "kind": str,
    "name": str,
    "depth": int,
    "cycle": int,
    "started": str,
    "start_unix_nano": int,
    "duration_ms": float,
    "error": str,
    "trace_id": str,
    "span_id": str,
    "parent_span_id": str,
    "pid": int,
    "scope": str,
    "tool": str,
    "model": str,
    "first_chunk_ms": float,
    "input_tokens": int,
    "cached_tokens": int,
    "output_tokens": int,
    "reasoning_tokens": int,
    "cost_microusd": int,
    "retries": int,
    "finish_reasons": str,
    "tool_calls": str,
    "attributes": str,
}
"""The columns of a span, and their types."""
_EVENT = {
    "run_id": str,
    "timestamp": str,
    "time_unix_nano": int,
    "source": str,
    "event": str,
    "cycle": int,
    "trace_id": str,
    "span_id": str,
    "seq": int,
    "pid": int,
    "tags": str,
    "payload": str,
}
"""Those of an event; objects as JSON."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("where", nargs="?", metavar="WHERE", help=f"{HELP}; by default all runs of the ledger")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write; by default stdout")
    parser.add_argument("--events", action="store_true", help="a row for each event, also of the spans' ends")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--format", choices=_WRITERS, help="by default what FILE ends in, else csv")
    shape.add_argument("--json", action="store_const", dest="format", const="json", help="JSON, one object a line")


def run(options: argparse.Namespace) -> int:
    """Write what was asked for."""
    ending = Path(options.output or "").suffix[1:].replace("jsonl", "json")
    shape: str = options.format or (ending if ending in _WRITERS else "csv")
    if shape == "parquet":
        if importlib.util.find_spec("pyarrow") is None:
            fail("Parquet needs the extra: pip install 'otel-agent-instrumentation[parquet]', or take --format csv")
            return _UNUSABLE
        if options.output is None:
            fail("Parquet is no text: name a file by -o")
            return _UNUSABLE
    return guarded(lambda _: _run(options, shape), options, options.where)


def _run(options: argparse.Namespace, shape: str) -> int:
    runs = every(options.where)
    if not runs:
        return NOTHING
    columns = _EVENT if options.events else _SPAN
    unreadable = [0]
    with progress("writing", len(runs)) as step:
        rows = (row for number, one in enumerate(runs) for row in _of(one, options.events, unreadable, number, step))
        _WRITERS[shape](rows, columns, options.output)
    if unreadable[0]:
        fail(f"left out: {plural(unreadable[0], 'line')} that cannot be read")
    return DONE


def _of(run: RunFiles, events: bool, unreadable: list[int], number: int, step: Callable[[int], None]) -> _Rows:  # noqa: FBT001 - which rows
    step(number)
    if events:
        for head in reader.merged(run):
            if head is None:
                unreadable[0] += 1
                continue
            row = {name: getattr(head, name, None) for name in _EVENT}
            payload = bytes(head.payload).decode("utf-8", "replace")
            yield {**row, "payload": payload, "tags": msgspec.json.encode(head.tags).decode()}
        return
    found = reader.events(run)
    unreadable[0] += found.unreadable
    tree = build(run.run_id, found.lines)
    for node, depth in walk(tree.root) if tree is not None else ():
        if node.kind in ("event", "cycle") or not node.span_id:
            continue
        row = {"run_id": run.run_id, **told(node, depth)}
        for name in ("finish_reasons", "tool_calls"):
            row[name] = " ".join(row.get(name) or ())
        row |= {"tool": node.text(semconv.TOOL_NAME) or None, "start_unix_nano": node.start_ns}
        row["cost_microusd"] = node.number(semconv.COST_MICROUSD)
        yield {**row, "attributes": msgspec.json.encode(node.attributes).decode()}


def _csv(rows: _Rows, columns: dict[str, type], output: str | None) -> None:
    with _opened(output) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(name)) for name in columns])


def _json(rows: _Rows, columns: dict[str, type], output: str | None) -> None:
    with _opened(output) as stream:
        for row in rows:
            stream.write(json.dumps({name: row.get(name) for name in columns}) + "\n")


def _parquet(rows: _Rows, columns: dict[str, type], output: str | None) -> None:
    arrow, parquet = cast("tuple[Any, Any]", tuple(map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))))
    kinds = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
    schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(str(output), schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append({name: _fitting(row.get(name), kind) for name, kind in columns.items()})
            if len(batch) == _BATCH:
                writer.write_table(arrow.Table.from_pylist(batch, schema=schema))
                batch = []
        writer.write_table(arrow.Table.from_pylist(batch, schema=schema))


def _fitting(value: Any, kind: type) -> Any:
    """``value`` where the column can hold it, else nothing: a ledger may say anything."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if kind is str else None
    if kind is int and isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else None
    return value


_WRITERS: dict[str, Callable[[_Rows, dict[str, type], str | None], None]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        if value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
            value = f"'{value}"
        return value.replace("\0", "\\0").encode("utf-8", "replace").decode()
    return value


@contextmanager
def _opened(output: str | None) -> Generator[TextIO]:
    if output is None:
        stream = cast("Any", sys.stdout)
        stream.reconfigure(encoding="utf-8", newline="")
        yield stream
        return
    path = Path(output)
    with path.open("w", encoding="utf-8", newline="") as stream:
        yield stream
    fail(f"written: {clean(str(path))}")
