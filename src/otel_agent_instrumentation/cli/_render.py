# SPDX-License-Identifier: Apache-2.0
"""A run's tree as lines of text: a table whose first column is the tree and whose last one has room for remarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import semconv
from ..envelope.line import timestamp
from ._text import Part, broken, clean, cut, dollars, number, painted, plural, seconds, width
from ._tree import CACHE_WRITE, model, retries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._tree import Node, Sums, Tree

_HEADS = ("time", "first", "in", "cached", "out", "reasoning")
# Given up in this order where the lines are too narrow for remarks: their counts become remarks then.
_OPTIONAL = ("reasoning", "cached")
_BRANCH, _LAST, _BAR, _BLANK = "├─ ", "└─ ", "│  ", "   "
_GAP = "  "
_NARROWEST_NAME, _NARROWEST_NOTES, _FAIR_NOTES = 18, 18, 22
_DEEPEST_GUIDES = 60
_MOST_FIELDS, _LONGEST_FIELD = 4, 40
_COUNTS = (
    ("in", semconv.USAGE_INPUT_TOKENS),
    ("cached", semconv.USAGE_CACHE_READ),
    ("out", semconv.USAGE_OUTPUT_TOKENS),
    ("reasoning", semconv.USAGE_REASONING),
)
_OUTCOMES = {"ok": "green", "error": "red"}


@dataclass(slots=True)
class Row:
    """One row of the table, which may take several lines."""

    label: str
    cells: dict[str, str]
    """What stands in a column, by its head; absent where there is nothing to say."""
    notes: list[Part] = field(default_factory=list[Part])
    style: str = ""
    guides: str = ""
    below: str = ""
    """The guides of a further line of this row."""


def text(tree: Tree, columns: int, *, colours: bool) -> str:
    """The whole run, in lines of at most ``columns`` columns where that is possible at all."""
    table, sums = list(_rows(tree)), list(_sums(tree))
    layout = _layout(table, [*table, *sums], columns)
    lines = [*_flow(_headline(tree), columns), []]
    lines.append(
        [Part(" " * layout.name), *(Part(part, "dim") for part in layout.cells({head: head for head in _HEADS}))]
    )
    for row in table:
        lines += layout.lines(row)
    lines.append([])
    for row in sums:
        lines += layout.lines(row)
    return "\n".join(painted(line, colours=colours) for line in lines)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The widths of the columns."""

    name: int
    numbers: dict[str, int]
    notes: int
    columns: int

    def cells(self, cells: dict[str, str]) -> list[str]:
        return [_GAP + cells.get(head, "").rjust(most) for head, most in self.numbers.items()]

    def lines(self, row: Row) -> Iterator[list[Part]]:
        guides = row.guides if width(row.guides + row.label) <= self.name else row.guides[-(self.name // 2) :]
        label = cut(row.label, self.name - len(guides))
        line = [Part(guides, "dim"), Part(label, row.style), Part(" " * (self.name - len(guides) - width(label)))]
        line += [Part(cell) for cell in self.cells(row.cells)]
        below = cut(row.below, self.name)
        notes = [*row.notes, *(Part(f"{row.cells[head]} {head}", "dim") for head in self.hidden(row))]
        if self.notes:
            first, *rest = _flow(notes, self.notes) or [[]]
            yield [*line, Part(_GAP), *first]
            blanks = " " * (self.columns - self.notes - len(below))
        else:  # too narrow for a column of notes: they stand below, under the name
            yield line
            rest, blanks = _flow(notes, max(_NARROWEST_NOTES, self.columns - len(below) - 2)), "  "
        for more in rest:
            yield [Part(below, "dim"), Part(blanks), *more]

    def hidden(self, row: Row) -> list[str]:
        """The columns that were given up and would say something here."""
        return [head for head in reversed(_OPTIONAL) if head not in self.numbers and row.cells.get(head, "0") != "0"]


def _layout(table: list[Row], rows: list[Row], columns: int) -> _Layout:
    used = [head for head in _HEADS if any(row.cells.get(head, "0") != "0" for row in table)]
    longest = max(width(row.guides + row.label) for row in rows)
    given_up: tuple[str, ...] = ()
    while True:
        heads = [head for head in used if head not in given_up]
        numbers = {head: max(len(head), *(len(row.cells.get(head, "")) for row in rows)) for head in heads}
        taken = sum(numbers.values()) + len(_GAP) * (len(numbers) + 1)
        name = min(longest, max(_NARROWEST_NAME, columns - taken - _NARROWEST_NOTES))
        notes = columns - name - taken
        if notes >= _FAIR_NOTES or len(given_up) == len(_OPTIONAL):
            return _Layout(name, numbers, notes if notes >= _NARROWEST_NOTES else 0, columns)
        given_up = _OPTIONAL[: len(given_up) + 1]


def _flow(parts: list[Part], columns: int) -> list[list[Part]]:
    """Parts with dots between them, broken into lines of ``columns`` columns; a longer part is broken itself."""
    lines: list[list[Part]] = []
    used = columns
    for part in parts:
        pieces = broken(part.text, columns)
        if len(pieces) == 1 and lines and used + 3 + width(part.text) <= columns:
            lines[-1] += [Part(" · ", "dim"), part]
            used += 3 + width(part.text)
        else:
            lines += [[Part(piece, part.style)] for piece in pieces]
            used = width(pieces[-1])
    return lines


def _headline(tree: Tree) -> list[Part]:
    found = [Part(f"run {clean(tree.run_id)}", "bold"), Part(_when(tree.root.start_ns))]
    if len(tree.traces) == 1:
        found.append(Part(f"trace {clean(tree.traces[0])}", "dim"))
    elif tree.traces:
        found.append(Part(plural(len(tree.traces), "trace"), "yellow"))
    if tree.processes > 1:
        found.append(Part(plural(tree.processes, "process")))
    return found


def _when(time_ns: int) -> str:
    try:
        return f"{timestamp(time_ns)[:19].replace('T', ' ')} UTC"
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


def _rows(tree: Tree) -> Iterator[Row]:
    """The rows of the tree, a parent before its children; not recursive, as a ledger may nest as deep as it likes."""
    stack: list[tuple[Node, str, str]] = [(tree.root, "", "")]
    while stack:
        node, guides, rest = stack.pop()
        below = rest + (_BAR if node.children else _BLANK)
        style = "red" if node.error else {"run": "bold", "cycle": "cyan", "event": "dim"}.get(node.kind, "")
        yield Row(clean(node.name), _cells(node), _notes(node, tree), style, guides, below)
        rest = rest[-_DEEPEST_GUIDES:]
        last = len(node.children) - 1
        for position in range(last, -1, -1):
            child = node.children[position]
            stack.append(
                (child, rest + (_LAST if position == last else _BRANCH), rest + (_BLANK if position == last else _BAR))
            )


def _cells(node: Node) -> dict[str, str]:
    if node.kind == "event":
        return {}
    most = "<" if node.text(semconv.TOOL_TIME) else ""  # an upper bound
    found = {"time": f"{most}{seconds(node.duration)}"}
    if node.first_chunk is not None:
        found["first"] = seconds(node.first_chunk)
    for head, name in _COUNTS:
        count = node.number(name)
        if count is not None:
            found[head] = number(count)
    return found


def _notes(node: Node, tree: Tree) -> list[Part]:
    found: list[Part] = []
    if node.kind == "run":
        found += _run_notes(tree)
    elif node.kind == "event":
        found += _fields(node.attributes)
    else:
        found += _call_notes(node)
    if node.foreign:
        found.append(Part(f"by {clean(node.foreign)}", "dim"))
    if node.pid is not None and node.pid != tree.root.pid and node.kind != "cycle":
        found.append(Part(f"pid {node.pid}", "dim"))
    return found


def _run_notes(tree: Tree) -> Iterator[Part]:
    if tree.outcome:
        yield Part(clean(tree.outcome), _OUTCOMES.get(tree.outcome, "yellow"))
    elif not tree.ended:
        yield Part("no end of the run is recorded", "yellow")
    if tree.root.error:
        yield Part(f"✗ {clean(tree.root.error)}", "red")
    if tree.cycles:
        yield Part(plural(tree.cycles, "cycle"))


def _call_notes(node: Node) -> Iterator[Part]:
    if node.error:
        status = node.number(semconv.HTTP_STATUS)
        yield Part(f"✗ {clean(node.error)}" + (f" ({status})" if status else ""), "red")
    tools = node.texts(semconv.TOOL_CALL_NAMES)
    if tools:
        yield Part("→ " + ", ".join(clean(tool, 64) for tool in tools))
    elif finish := node.texts(semconv.RESPONSE_FINISH_REASONS):
        yield Part(", ".join(clean(word, 64) for word in finish))
    if count := retries(node):
        because = ", ".join(dict.fromkeys(clean(word, 32) for word in node.retried))
        yield Part(plural(count, "retry") + (f" ({because})" if because else ""), "yellow")
    if written := node.number(*CACHE_WRITE):
        yield Part(f"{number(written)} written to cache", "dim")
    if end := node.text(semconv.STREAM_END):
        yield Part(f"stream {clean(end.replace('_', ' '))}", "yellow")
    answered = node.text(semconv.RESPONSE_MODEL)
    if node.kind == "call" and not answered.startswith(model(node)) and answered:
        yield Part(f"by {clean(answered)}", "dim")


def _fields(payload: Any) -> Iterator[Part]:
    told = [(key, value) for key, value in payload.items() if isinstance(value, (str, int, float)) and value != ""]
    for key, value in told[:_MOST_FIELDS]:
        yield Part(f"{clean(str(key), _LONGEST_FIELD)}={clean(_shown(value), _LONGEST_FIELD)}", "dim")


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sums(tree: Tree) -> Iterator[Row]:
    total = tree.total
    if not total.calls:
        yield Row("total", {}, [Part("no model calls"), *_more(tree)], "bold")
        return
    yield _sum("total", total, [*_more(tree)], "bold")
    if len(tree.models) > 1:
        for name, sums in sorted(tree.models.items(), key=lambda item: -item[1].calls):
            yield _sum(f"  {clean(name)}", sums, [], "")


def _sum(label: str, sums: Sums, more: list[Part], style: str) -> Row:
    counts = {"in": sums.input, "cached": sums.cached, "out": sums.output, "reasoning": sums.reasoning}
    notes = [Part(plural(sums.calls, "call"))]
    if sums.retries:
        notes.append(Part(plural(sums.retries, "retry"), "yellow"))
    if sums.errors:
        notes.append(Part(plural(sums.errors, "error"), "red"))
    if sums.cost_microusd is not None:
        notes.append(Part(dollars(sums.cost_microusd)))
    if sums.cache_write:
        notes.append(Part(f"{number(sums.cache_write)} written to cache", "dim"))
    cells = {"time": seconds(sums.seconds), **{head: number(n) for head, n in counts.items() if n is not None}}
    return Row(label, cells, [*notes, *more], style)


def _more(tree: Tree) -> Iterator[Part]:
    if tree.logs:
        yield Part(plural(tree.logs, "log record"), "dim")
