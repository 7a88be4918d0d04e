# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of the pages `configuration`, `events` and `metrics` from the code that they describe.

``python scripts/docs.py`` rewrites what stands between the markers of each page, ``--check`` says which page is stale
and exits with 1. The prose around the tables is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otel_agent_instrumentation import config, declared, semconv
from otel_agent_instrumentation.envelope import categories
from otel_agent_instrumentation.metrics import labels
from otel_agent_instrumentation.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DOCS = Path(__file__).resolve().parent.parent / "docs"
_KINDS = {
    "_boolean": "`true` or `false`",
    "_positive": "seconds",
    "_count": "a whole number from 1",
    "_factor": "a number above 1",
    "_share": "a share up to 1",
    "_words": "names, by commas",
    "str": "text",
}
_BUCKETS: dict[tuple[float, ...], str] = {
    semconv.SECONDS: "seconds",
    semconv.TOKENS: "tokens",
    semconv.RUN_SECONDS: "run seconds",
    semconv.MCP_SECONDS: "MCP seconds",
    semconv.RUN_CYCLES_EDGES: "cycles",
}
_LARGE = 10_000  # beyond it `g` rounds
_NOBODY = {
    "agent_name": "`OTEL_SERVICE_NAME`, else the program's name",
    "ledger": "by the exporters, see above",
    "log_records": "`true` where logs are exported",
    "protocol": "by the endpoint's port, see above",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(*words: object) -> str:
    """Words in code style, with commas between them."""
    return ", ".join(f"`{word}`" for word in words)


# --- settings --------------------------------------------------------------------------------------------------------


def _accepted(option: config.Option) -> str:
    known = _KINDS.get(option.parse.__name__)
    if known:
        return known
    try:
        option.parse("\0")
    except ValueError as error:
        return code(*str(error).removeprefix("expected one of ").split(", "))
    return "text"


def _default(option: config.Option) -> str:
    value = config.defaults()[option.name]
    if value is None or value == ():
        return _NOBODY.get(option.name, "-")
    return code(str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value)


def _settings(*, ours: bool) -> str:
    rows: list[list[str]] = []
    for option in config.OPTIONS:
        theirs, _, note = option.doc.partition("OTel's own")
        if bool(note) is ours:
            continue
        names = "<br>".join(f"`{name}`" for name in option.env)
        told = note.strip("., ;:") or "" if note else theirs
        rows.append([names, f"`{option.name}`", _accepted(option), _default(option), told])
    return table(["Variable", "Key in the file", "Value", "Default", "What it does" if ours else "Note"], rows)


# --- metrics ---------------------------------------------------------------------------------------------------------


def _emitted() -> dict[str, str]:
    told: dict[str, str] = {}
    for flavour in semconv.FLAVOURS.values():
        named = [flavour.duration, flavour.time_to_first_chunk, flavour.token_usage]
        named += [name for _, name in (*flavour.usage_counters, *flavour.usage_histograms)]
        told.update((name, flavour.name) for name in named if name)
    return told


def _common() -> tuple[str, ...]:
    """The labels that every metric of a model call has."""
    sets = [row.labels for row in CATALOGUE.values() if row.name in _emitted()]
    return tuple(name for name in sets[0] if all(name in labels for labels in sets))


def _metrics(flavour: str | None) -> str:
    emitted, common = _emitted(), _common()
    rows: list[Sequence[str]] = []
    for row in CATALOGUE.values():
        if emitted.get(row.name) == flavour:
            own = code(*(label for label in row.labels if label not in common)) if flavour else code(*row.labels)
            told = ", ".join(part for part in ("*call*" if flavour else "", own) if part)
            edges = f"*{_BUCKETS[row.buckets]}*" if row.buckets else ""
            described = f"{row.description} Begins at 0: {row.zero}." if row.zero else row.description
            rows.append((f"`{row.name}`", row.kind, f"`{row.unit}`" if row.unit else "", described, told, edges))
    return table(["Metric", "Kind", "Unit", "What it measures", "Labels", "Buckets"], rows)


def _sets() -> str:
    told = [f"- *call* is {code(*_common())}."]
    told += [
        f"- *{name}* are {', '.join(f'{edge:g}' if edge < _LARGE else str(edge) for edge in edges)}."
        for edges, name in _BUCKETS.items()
    ]
    return "\n".join(told)


def _labels() -> str:
    names = dict.fromkeys(label for row in CATALOGUE.values() for label in row.labels)
    rows: list[tuple[str, str]] = []
    for name in names:
        low = declared.ATTRIBUTES[name].cardinality == "low"
        bound = "a closed list of words" if low else f"the first {labels.limit(name)}, then `{labels.OTHER}`"
        rows.append((f"`{name}`", bound))
    return table(["Label", "Values"], rows)


# --- events ----------------------------------------------------------------------------------------------------------

_GROUPS = {
    "lifecycle": "Lifecycle of tasks, and the dialectic of an answer",
    "evidence": "Evidence and retrieval",
    "self_correction": "Self-correction",
    "system": "System operations",
    "infrastructure": "Infrastructure",
    "learning": "Learning",
    "alert": "Monitoring and alerts",
    "session": "Sessions and personas",
    "run": "What a run tells by itself",
}


def _events() -> str:
    parts: list[str] = []
    for group, title in _GROUPS.items():
        rows = [
            (f"`{row.name}`", row.doc, ", ".join(f"`{key}` {kind.__name__}" for key, kind in row.fields.items()))
            for row in categories.BUILTIN
            if row.group == group
        ]
        parts += [f"### {title} (`{group}`)", table(["Event", "When", "Payload"], rows)]
    return "\n\n".join(parts)


# --- pages -----------------------------------------------------------------------------------------------------------

PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "events.md": {"categories": _events},
    "configuration.md": {
        "settings": lambda: _settings(ours=True),
        "otel": lambda: _settings(ours=False),
    },
    "metrics.md": {
        "default": lambda: _metrics("1.41"),
        "latest": lambda: _metrics("latest"),
        "always": lambda: _metrics(None),
        "sets": _sets,
        "labels": _labels,
    },
}


def rewritten(page: str, text: str) -> str:
    """The page with its tables as they should be. Raises ValueError where it lacks a marker."""
    for name, make in PAGES[page].items():
        marker = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marker.search(text):
            raise ValueError(f"docs/{page} lacks the marker of {name!r}")
        made = make().replace("\\", r"\\")
        text = marker.sub(rf"\1\n{made}\n\n\2", text)
    return text


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with ``--check`` only say which are stale."""
    stale: list[str] = []
    for page in PAGES:
        before = (DOCS / page).read_text(encoding="utf-8")
        after = rewritten(page, before)
        if after != before:
            stale.append(page)
            if "--check" not in arguments:
                (DOCS / page).write_text(after, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"stale: {', '.join(stale)}; run `python scripts/docs.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
