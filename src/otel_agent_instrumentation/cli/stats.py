# SPDX-License-Identifier: Apache-2.0
"""Add up what runs did: model calls, tools, states, tokens, cost, failures, alerts.

WHERE is a ledger file, a folder of them or a run id (its beginning is enough); without it, all runs of the ledger.
Exit codes: 0 shown, 1 nothing found, 2 wrong usage.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from ._choice import DONE, HELP, NOTHING, fail, files_of, guarded
from ._facts import facts_of
from ._progress import progress, size
from ._text import COLUMNS, Part, clean, colourful, cut, dollars, number, painted, plural, put, seconds, width
from .show import when

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from ._facts import Facts, Group

_QUANTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
_TOKENS = {"in": "input", "cached": "cached", "out": "output", "reasoning": "reasoning"}
_MOST = 20
"""How many rows a table has at most; the rest is told as one number, and stands in the JSON."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("where", nargs="?", metavar="WHERE", help=f"{HELP}; by default all runs of the ledger")
    parser.add_argument("--json", action="store_true", help="write the sums as JSON")
    parser.add_argument("--no-color", action="store_true", help="no colours, also on a terminal")


def run(options: argparse.Namespace) -> int:
    """Add up what was asked for."""
    return guarded(_run, options, options.where)


def _run(options: argparse.Namespace) -> int:
    files, run_id = files_of(options.where)
    if not files:
        return NOTHING
    with progress("reading", size(files)) as step:
        facts = facts_of(files, run_id, step)
    if not facts.runs:
        return fail(f"{clean(str(options.where or files[0].parent))}: no line of it can be read as an event")
    if options.json:
        put(json.dumps(document(facts), indent=2))
        return DONE
    if facts.unreadable:
        fail(f"left out: {plural(facts.unreadable, 'line')} that cannot be read")
    colours = colourful(sys.stdout, refused=options.no_color)
    columns = shutil.get_terminal_size((COLUMNS, 24)).columns
    for line in _text(facts, columns):
        put(painted(line, colours=colours))
    return DONE


def document(facts: Facts) -> dict[str, Any]:
    """The sums as plain data: durations in milliseconds, times ISO 8601, a count that nobody said null."""
    return {
        "runs": {
            run_id: {
                "agent": run.agent or None,
                "outcome": run.outcome or None,
                "events": run.events,
                "started": when(run.first_ns),
                "duration_ms": _ms((run.last_ns - run.first_ns) / 1e9),
            }
            for run_id, run in facts.runs.items()
        },
        "models": {group.name: _group(group) for group in facts.groups if group.kind == "call"},
        "tools": {group.name: _group(group) for group in facts.groups if group.kind == "tool"},
        "states": {
            name: {"entries": state.entries, "dwell_ms": _ms(state.seconds)} for name, state in facts.states.items()
        },
        "events": dict(facts.events.most_common()),
        "alerts": facts.alerts,
        "unreadable_lines": facts.unreadable,
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "count": group.count,
        "errors": group.errors,
        "retries": group.retries,
        "total_ms": _ms(sum(group.durations)),
        **{f"{name}_ms": _ms(group.quantile(part)) for name, part in _QUANTILES.items()},
        **(_counts(group) if group.kind == "call" else {}),
    }


def _counts(group: Group) -> dict[str, int | None]:
    tokens = ("input", "cached", "cache_write", "output", "reasoning")
    return {**{f"{name}_tokens": group.sums[name] for name in tokens}, "cost_microusd": group.sums["cost_microusd"]}


def _ms(value: float) -> float:
    return round(value * 1000, 3)


def _text(facts: Facts, columns: int) -> Iterator[list[Part]]:
    outcomes = Counter(run.outcome or "unfinished" for run in facts.runs.values())
    told = [Part(plural(len(facts.runs), "run"), "bold")]
    styles = {"ok": "green", "error": "red"}
    told += [Part(f"{number(count)} {clean(name)}", styles.get(name, "yellow")) for name, count in outcomes.items()]
    told.append(Part(plural(facts.events.total(), "event")))
    if facts.alerts:
        told.append(Part(plural(facts.alerts, "alert"), "yellow"))
    yield [part for piece in told for part in (Part(" · ", "dim"), piece)][1:]
    calls = [group for group in facts.groups if group.kind == "call"]
    tools = [group for group in facts.groups if group.kind == "tool"]
    heads = ["model", "calls", "errors", "retries", *_QUANTILES, *_TOKENS, "cost"]
    yield from _table(heads, [[*_cells(group, retries=True), *_tokens(group)] for group in calls], columns)
    yield from _table(
        ["tool", "runs", "errors", *_QUANTILES], [_cells(group, retries=False) for group in tools], columns
    )
    states = [[clean(name), number(one.entries), seconds(one.seconds)] for name, one in facts.states.items()]
    yield from _table(["state", "entries", "time"], states, columns)
    yield from _table(["event", "times"], [[clean(n), number(c)] for n, c in facts.events.most_common()], columns)


def _cells(group: Group, *, retries: bool) -> list[str]:
    again = [number(group.retries) if group.retries else ""] if retries else []
    times = [seconds(group.quantile(part)) for part in _QUANTILES.values()]
    return [clean(group.name), number(group.count), number(group.errors) if group.errors else "", *again, *times]


def _tokens(group: Group) -> list[str]:
    counts = [group.sums[name] for name in _TOKENS.values()]
    cost = group.sums["cost_microusd"]
    return [*("" if count is None else number(count) for count in counts), "" if cost is None else dollars(cost)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> Iterator[list[Part]]:
    """A table, a blank line before it; a column that says nothing is left out. Nothing where there are no rows."""
    if not rows:
        return
    yield []
    kept = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    shown = rows[:_MOST]
    widths = {column: max(width(text) for text in _column(column, heads, shown)) for column in kept}
    rest = sum(widths[column] + 2 for column in kept[1:])
    widths[kept[0]] = max(8, min(widths[kept[0]], columns - rest))
    yield [Part(_line(heads, kept, widths), "dim")]
    for row in shown:
        name = cut(row[0], widths[0])
        failed = "errors" in heads and row[heads.index("errors")]
        line = _line([name, *row[1:]], kept, widths)
        yield [Part(line, "red" if failed else "")]
    if len(rows) > _MOST:
        yield [Part(f"and {number(len(rows) - _MOST)} more", "dim")]


def _column(column: int, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [heads[column], *(row[column] for row in rows)]


def _line(row: Sequence[str], kept: Sequence[int], widths: dict[int, int]) -> str:
    first, *others = kept
    name = row[first] + " " * (widths[first] - width(row[first]))
    return name + "".join("  " + row[column].rjust(widths[column]) for column in others)
