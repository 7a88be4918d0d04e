# SPDX-License-Identifier: Apache-2.0
"""A run, step by step: what began, happened or ended, and what was so after it, rebuilt from the ledger alone."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .. import semconv
from ._text import Part, clean, dollars, number, painted, plural, put, seconds
from ._tree import Sums, counted, walk
from .show import when

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._tree import Node, Tree

What = Literal["begins", "event", "ends"]
_ARTIFACTS = {event: change for change, event in semconv.EVENT_ARTIFACTS.items()}
_MARKS = {"created": "+", "modified": "~", "deleted": "-"}
_MOST_SHOWN = 5


@dataclass(slots=True)
class State:
    """What is so at one moment of a run."""

    agent: str
    cycle: int = 0
    open: list[Node] = field(default_factory=list["Node"])
    """What goes on, the outermost first."""
    states: list[str] = field(default_factory=list[str])
    """The cognitive states that the agent is in, the innermost last."""
    plan: dict[str, Any] | None = None
    step: dict[str, Any] | None = None
    """The plan's step that goes on."""
    decision: str | None = None
    """The last review's."""
    calls: Sums = field(default_factory=Sums)
    """The model calls that ended."""
    tools: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    """Tools that ended, and those of them that failed."""
    files: dict[str, str] = field(default_factory=dict[str, str])
    """Path to what was done to it last."""
    alerts: int = 0
    outcome: str | None = None
    """The run's, once it is over."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the ``number``-th of ``of``. ``state`` is what is so after it; it changes with the next."""

    number: int
    of: int
    what: What
    node: Node
    time_ns: int
    since_ns: int
    """Since the run's start."""
    state: State


def steps(tree: Tree) -> Iterator[Step]:
    """The steps of a run in the order of their time: a parent begins before its children, and ends after them."""
    marks: list[tuple[int, int, int, What, Node]] = []
    for order, (node, _) in enumerate(walk(tree.root)):
        if node.kind == "event":
            marks.append((node.start_ns, 0, order, "event", node))
        else:
            marks.append((node.start_ns, 0, order, "begins", node))
            marks.append((node.end_ns, 1, -order, "ends", node))
    marks.sort(key=lambda mark: mark[:3])
    state, priced = State(tree.agent), {id(call) for call in counted(tree.root)}
    for index, (time_ns, _, _, what, node) in enumerate(marks, start=1):
        if what == "event":
            _happened(state, node)
        elif what == "begins":
            state.open.append(node)
        else:
            _ended(state, node, counts=id(node) in priced)
        state.cycle = _cycle(state, node)
        yield Step(index, len(marks), what, node, time_ns, time_ns - tree.root.start_ns, state)


def _cycle(state: State, node: Node) -> int:
    return node.cycle or (0 if node.kind == "run" else state.cycle)


def _happened(state: State, node: Node) -> None:
    told, name = node.attributes, node.name
    if name == semconv.EVENT_STATE_ENTERED:
        state.states.append(node.text("state"))
    elif name == semconv.EVENT_STATE_EXITED:
        left = node.text("state")
        if left in state.states:
            # The innermost of that name.
            del state.states[len(state.states) - 1 - state.states[::-1].index(left)]
    elif name == semconv.EVENT_PLAN_GENERATED:
        state.plan = {key: value for key, value in told.items() if key != "redacted_fields"}
    elif name == semconv.EVENT_STEP_STARTED:
        state.step = {key: value for key, value in told.items() if key != "redacted_fields"}
    elif name == semconv.EVENT_STEP_COMPLETED:
        state.step = None
    elif name == semconv.EVENT_REVIEW_DECISION:
        state.decision = node.text("decision")
    elif name in _ARTIFACTS:
        state.files[node.text("path")] = _ARTIFACTS[name]
    elif name == semconv.EVENT_ALERT:
        state.alerts += 1


def _ended(state: State, node: Node, *, counts: bool) -> None:
    if node in state.open:
        state.open.remove(node)
    if counts:
        state.calls.add(node)
    tool = node.text(semconv.TOOL_NAME)
    if node.text(semconv.OPERATION_NAME) == semconv.EXECUTE_TOOL and tool and not _within(state, tool):
        state.tools[tool] += 1
        state.failed[tool] += node.error is not None
    if node.kind == "run":
        state.outcome = node.text(semconv.RUN_OUTCOME) or state.outcome


def _within(state: State, tool: str) -> bool:
    """Whether another of the same tool goes on: its client's, where this is its server's."""
    return any(
        node.text(semconv.TOOL_NAME) == tool and node.text(semconv.OPERATION_NAME) == semconv.EXECUTE_TOOL
        for node in state.open
    )


# --- as JSON ---------------------------------------------------------------------------------------------------------


def told(step: Step) -> dict[str, Any]:
    """A step as plain data. Times ISO 8601, durations in milliseconds."""
    node, state = step.node, step.state
    ended = {"duration_ms": round(node.duration * 1000, 3), "error": node.error} if step.what == "ends" else {}
    return {
        "step": step.number,
        "of": step.of,
        "time": when(step.time_ns),
        "since_ms": round(step.since_ns / 1e6, 3),
        "what": step.what,
        "kind": node.kind,
        "name": node.name,
        "span_id": node.span_id or None,
        "parent_span_id": node.parent_id or None,
        **ended,
        "attributes": dict(node.attributes) if step.what != "begins" else {},
        "state": _state(state),
    }


def _state(state: State) -> dict[str, Any]:
    calls = state.calls
    return {
        "agent": state.agent,
        "cycle": state.cycle,
        "open": [node.name for node in state.open],
        "states": list(state.states),
        "plan": state.plan,
        "step": state.step,
        "decision": state.decision,
        "calls": calls.calls,
        "call_errors": calls.errors,
        "input_tokens": calls.input,
        "output_tokens": calls.output,
        "cost_microusd": calls.cost_microusd,
        "tools": {name: {"calls": count, "errors": state.failed[name]} for name, count in state.tools.items()},
        "files": dict(Counter(state.files.values())),
        "alerts": state.alerts,
        "outcome": state.outcome,
    }


# --- on a terminal ---------------------------------------------------------------------------------------------------


def show(tree: Tree, *, colours: bool) -> None:
    """Write the steps, on a terminal one at a time: Enter goes on, a number goes on to that step, `q` ends."""
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    goal = 1
    for step in steps(tree):
        for parts in _lines(step):
            put(painted(parts, colours=colours))
        if asks and step.number >= goal and step.number < step.of:
            wanted = _asked()
            if wanted is None:
                return
            goal = max(wanted, step.number + 1)


def _asked() -> int | None:
    try:
        answer = input("Enter: next, NUMBER: on to it, q: end > ").strip()
    except EOFError:
        return None
    if answer.lower().startswith("q"):
        return None
    return int(answer) if answer.isdecimal() else 0


def _lines(step: Step) -> Iterator[list[Part]]:
    node = step.node
    head = [
        Part(f"{step.number:>{len(str(step.of))}}/{step.of}  ", "dim"),
        Part(f"+{seconds(max(0, step.since_ns) / 1e9):>8}  ", "cyan"),
        Part(f"{step.what:6}  ", "dim"),
        Part(clean(node.name), "bold"),
    ]
    if step.what == "ends":
        head.append(Part(f"  {seconds(node.duration)}"))
        if node.error is not None:
            head.append(Part(f"  ✗ {clean(node.error)}", "red"))
    yield head
    yield [Part("      "), *_after(step.state)]


def _after(state: State) -> Iterator[Part]:
    calls = state.calls
    told = [f"cycle {state.cycle}"] if state.cycle else []
    told += [clean(state.states[-1])] if state.states else []
    told += [f"step {state.step.get('index')}"] if state.step is not None else []
    told += [" > ".join(clean(node.name, 60) for node in state.open[-_MOST_SHOWN:])] if state.open else []
    told += [plural(calls.calls, "call")] if calls.calls else []
    told += [f"{number(calls.input or 0)} in, {number(calls.output or 0)} out"] if calls.input or calls.output else []
    told += [dollars(calls.cost_microusd)] if calls.cost_microusd is not None else []
    if state.tools:
        failed = state.failed.total()
        told.append(plural(state.tools.total(), "tool") + (f", {failed} failed" if failed else ""))
    changes = Counter(state.files.values())
    told += (
        [" ".join(f"{mark}{changes[change]}" for change, mark in _MARKS.items() if changes[change])] if changes else []
    )
    told += [plural(state.alerts, "alert")] if state.alerts else []
    told += [clean(state.outcome)] if state.outcome else []
    yield Part(" · ".join(told), "dim")
