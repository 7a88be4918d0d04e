# SPDX-License-Identifier: Apache-2.0
"""Compare two runs: what was done differently, and what it cost.

FIRST and SECOND are ledger files or run ids (the beginning is enough). Steps of the first run alone are marked `-`,
those of the second alone `+`. Exit codes: 0 both did the same, 1 they did not, 2 wrong usage, or a run was not found.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ._choice import HELP, guarded, the_one, tree_of
from ._compare import TELLING, steps
from ._text import Part, clean, colourful, dollars, number, painted, plural, put, seconds, width
from .show import told

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from ._compare import Step
    from ._tree import Node, Tree

_SAME, _DIFFERENT, _TROUBLE = 0, 1, 2
_CONTEXT = 2
"""How many of the steps that both did are shown around one that only one did."""
_COUNTS: dict[str, Callable[[int], str]] = {
    "calls": number,
    "errors": number,
    "retries": number,
    "input": number,
    "cached": number,
    "cache_write": number,
    "output": number,
    "reasoning": number,
    "cost_microusd": dollars,
}
_NAMES = {"cache_write": "written to cache", "cost_microusd": "cost"}
_SHOWN = {"-": "red", "+": "green"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("first", metavar="FIRST", help=HELP)
    parser.add_argument("second", metavar="SECOND", help="the run to compare it with, likewise")
    parser.add_argument("--json", action="store_true", help="write the comparison as JSON")
    parser.add_argument("--no-color", action="store_true", help="no colours, also on a terminal")


def run(options: argparse.Namespace) -> int:
    """Compare two runs."""
    return guarded(_run, options, options.first, code=_TROUBLE)


def _run(options: argparse.Namespace) -> int:
    trees = _tree(options.first), _tree(options.second)
    first, second = trees
    if first is None or second is None:
        return _TROUBLE
    found = list(steps(first.root, second.root))
    if options.json:
        put(json.dumps(_document(first, second, found), indent=2))
    else:
        colours = colourful(sys.stdout, refused=options.no_color)
        for line in [*_sums(first, second), [], *_steps(found)]:
            put(painted(line, colours=colours))
    same = all(step.sign == " " for step in found) and first.outcome == second.outcome
    return _SAME if same else _DIFFERENT


def _tree(wanted: str) -> Tree | None:
    run = the_one(wanted)
    return tree_of(run, "compare")[0] if run is not None else None


def _document(first: Tree, second: Tree, found: list[Step]) -> dict[str, Any]:
    return {
        "first": _run_told(first),
        "second": _run_told(second),
        "steps": [{"only_in": _ONLY[step.sign], **told(step.node, step.depth)} for step in found if step.sign != " "],
        "common_steps": sum(step.sign == " " for step in found),
    }


_ONLY = {"-": "first", "+": "second"}


def _run_told(tree: Tree) -> dict[str, Any]:
    return {
        "run_id": tree.run_id,
        "agent": tree.agent,
        "outcome": tree.outcome or None,
        "duration_ms": round(tree.root.duration * 1000, 3),
        "cycles": tree.cycles,
        "total": asdict(tree.total),
        "models": {name: asdict(sums) for name, sums in tree.models.items()},
    }


def _sums(first: Tree, second: Tree) -> Iterator[list[Part]]:
    rows: list[tuple[str, str, str, str]] = [
        ("", clean(first.run_id), clean(second.run_id), ""),
        ("outcome", clean(first.outcome) or "unfinished", clean(second.outcome) or "unfinished", ""),
        ("time", *_pair(seconds, first.root.duration, second.root.duration)),
        ("cycles", *_pair(number, first.cycles, second.cycles)),
    ]
    names = dict.fromkeys(["", *first.models, *second.models])
    for name in names if len(names) > 2 else [""]:  # noqa: PLR2004 - the sum and one model say the same
        of = [asdict(sums) if sums is not None else {} for sums in _of(name, first, second)]
        for key, shown in _COUNTS.items():
            one, other = of[0].get(key), of[1].get(key)
            if one or other:
                label = _NAMES.get(key, key)
                rows.append((f"{clean(name)} {label}".strip(), *_pair(shown, one or 0, other or 0)))
    widths = [max(width(row[column]) for row in rows) for column in range(4)]
    for position, (label, one, other, change) in enumerate(rows):
        cells = f"{_left(label, widths[0])}  {_right(one, widths[1])}  {_right(other, widths[2])}"
        differs = Part(f"  {change.rjust(widths[3])}", "dim" if not change.strip("+-0% ") else "yellow")
        yield [Part(cells, "" if position else "bold"), differs]


def _of(name: str, first: Tree, second: Tree) -> tuple[Any, Any]:
    return (first.models.get(name), second.models.get(name)) if name else (first.total, second.total)


def _left(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def _right(text: str, columns: int) -> str:
    return " " * (columns - width(text)) + text


def _pair(shown: Callable[[Any], str], one: float, other: float) -> tuple[str, str, str]:
    change = "" if one == other else "new" if not one else f"{(other - one) / one:+.0%}"
    return shown(one), shown(other), change


def _steps(found: list[Step]) -> Iterator[list[Part]]:
    different = [place for place, step in enumerate(found) if step.sign != " "]
    if not different:
        yield [Part(f"both did the same {plural(len(found), 'step')}", "green")]
        return
    near = {other for place in different for other in range(place - _CONTEXT, place + _CONTEXT + 1)}
    above: set[int] = set()  # the steps that a difference is below of
    path: list[int] = []
    for place, step in enumerate(found):
        path[step.depth :] = [place]
        if step.sign != " ":
            above.update(path)
    left = 0
    for place, step in enumerate(found):
        if place not in near and place not in above:
            left += 1
            continue
        if left:
            yield [Part(f"  … {plural(left, 'step')} that both did", "dim")]
            left = 0
        yield [_step(step)]
    if left:
        yield [Part(f"  … {plural(left, 'step')} that both did", "dim")]


def _step(step: Step) -> Part:
    indent = "  " * min(step.depth, 40)
    return Part(f"{step.sign} {indent}{_said(step)}", _SHOWN.get(step.sign, ""))


def _said(step: Step) -> str:
    node = step.node
    found = [clean(node.name)]
    if node.error:
        found.append(f"✗ {clean(node.error)}")
    if node.kind != "event":
        found.append(_times(step.first, step.second))
    else:
        words = (node.attributes.get(key) for key in TELLING)
        found += [clean(word, 64) for word in words if isinstance(word, str) and word]
    return " · ".join(found)


def _times(first: Node | None, second: Node | None) -> str:
    told = [seconds(node.duration) for node in (first, second) if node is not None]
    return " → ".join(dict.fromkeys(told))
