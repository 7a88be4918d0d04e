# SPDX-License-Identifier: Apache-2.0
"""A run as a tree, from its ledger lines alone. Trusts no line: any value may be missing, of another type, or a lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from .. import semconv
from ..ledger import reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..envelope.line import Line

MODEL_CALLS = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.EMBEDDINGS, "generate_content"})
_LOG_RECORD = "log.record"
NOT_SHOWN = frozenset(
    {
        *(semconv.EVENT_RESOURCE, semconv.EVENT_METRICS, semconv.EVENT_PIPELINE, semconv.EVENT_INFERENCE_DETAILS),
        *(semconv.EVENT_COMMAND_STARTED, semconv.EVENT_COMMAND_COMPLETED),  # their command's span says it
        *(semconv.EVENT_SESSION_START, semconv.EVENT_SESSION_END, *semconv.EVENT_TASKS),  # and the run's
    }
)
"""Events that are told elsewhere in the tree, or of no use in it."""
CACHE_WRITE = tuple(flavour.cache_write for flavour in semconv.FLAVOURS.values())

Kind = Literal["run", "cycle", "call", "span", "event"]


@dataclass(slots=True, eq=False)
class Node:
    """Something of the run. Times in ns since the epoch; counts are None where the answer did not say."""

    kind: Kind
    name: str
    start_ns: int
    end_ns: int
    cycle: int = 0
    pid: int | None = None
    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    foreign: str = ""
    """The scope that made the span, where it is not this package."""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    retried: tuple[str, ...] = ()
    """What each attempt that was tried again failed with: a status, or `connection`."""
    error: str | None = None
    children: list[Node] = field(default_factory=list["Node"])

    @property
    def duration(self) -> float:
        """Seconds."""
        return max(0, self.end_ns - self.start_ns) / 1e9

    @property
    def first_chunk(self) -> float | None:
        """Seconds to the first chunk of a stream."""
        value = self.attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def number(self, *names: str) -> int | None:
        """The first of the attributes that is there, if it is a whole number."""
        for name in names:
            value = self.attributes.get(name)
            if type(value) is int:
                return value
        return None

    def text(self, name: str) -> str:
        """An attribute, or an empty text."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """The texts of a list attribute."""
        value = self.attributes.get(name)
        return [item for item in _list(value) if isinstance(item, str)]


@dataclass(slots=True)
class Sums:
    """What calls add up to. A count that none of them said is None, not 0."""

    calls: int = 0
    seconds: float = 0.0
    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cost_microusd: int | None = None
    """Of the calls that were priced."""
    retries: int = 0
    errors: int = 0

    def add(self, call: Node) -> None:
        """Add a call."""
        self.calls += 1
        self.seconds += call.duration
        self.input = _plus(self.input, call.number(semconv.USAGE_INPUT_TOKENS))
        self.cached = _plus(self.cached, call.number(semconv.USAGE_CACHE_READ))
        self.cache_write = _plus(self.cache_write, call.number(*CACHE_WRITE))
        self.output = _plus(self.output, call.number(semconv.USAGE_OUTPUT_TOKENS))
        self.reasoning = _plus(self.reasoning, call.number(semconv.USAGE_REASONING))
        self.cost_microusd = _plus(self.cost_microusd, call.number(semconv.COST_MICROUSD))
        self.retries += retries(call)
        self.errors += call.error is not None


@dataclass(slots=True)
class Tree:
    """A run: its root, what the calls add up to, and what else was in its lines."""

    run_id: str
    root: Node
    ended: bool
    """Whether the ledger has the run's own span: not if the process was killed, or a server's span is the parent."""
    agent: str
    outcome: str
    traces: list[str]
    cycles: int
    total: Sums
    models: dict[str, Sums]
    logs: int
    """Plain log records of the run, which the tree does not show."""
    processes: int


def retries(node: Node) -> int:
    """How often the client tried again."""
    return max(node.number(semconv.RETRY_COUNT) or 0, len(node.retried))


def model(node: Node) -> str:
    """The model that a call asked for, else the one that answered."""
    return node.text(semconv.REQUEST_MODEL) or node.text(semconv.RESPONSE_MODEL) or "unknown"


def build(run_id: str, lines: Iterable[Line]) -> Tree | None:
    """The tree of a run, or None where its lines show nothing."""
    spans: dict[tuple[str, str], Node] = {}
    events: list[Node] = []
    agent, logs, pids = "", 0, set[int | None]()
    for line in lines:
        pids.add(line.pid)
        agent = agent or _agent(line)
        if line.event == semconv.EVENT_SPAN_ENDED:
            node = _span(line)
            spans.setdefault((node.trace_id, node.span_id or f"line {len(spans)}"), node)
        elif line.event == _LOG_RECORD:
            logs += 1
        elif line.event not in NOT_SHOWN:
            events.append(_event(line))
    if not spans and not events:
        return None
    tops = _linked(spans, events)
    root, ended = _root(run_id, tops, agent)
    traces = list(dict.fromkeys(node.trace_id for node in spans.values() if node.trace_id))
    cycles = len({node.cycle for node in spans.values()} - {0})
    _group_by_cycle(root)
    total, models = _sums(root)
    outcome = root.text(semconv.RUN_OUTCOME) if ended else ""
    return Tree(
        run_id, root, ended, root.text(semconv.AGENT_NAME) or agent or "agent", outcome, traces, cycles, total, models,
        logs, len(pids),
    )  # fmt: skip


def walk(root: Node) -> Iterator[tuple[Node, int]]:
    """Each node with its depth, a parent before its children. Not recursive: a ledger may nest as deep as it likes."""
    stack = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack += [(child, depth + 1) for child in reversed(node.children)]


def _agent(line: Line) -> str:
    return _text(_object(line.tags).get("agent"))


def _span(line: Line) -> Node:
    told = line.payload
    attributes = _object(told.get("attributes"))
    scope = _text(_object(told.get("scope")).get("name"))
    end = _time(told.get("end_time_unix_nano"), reader.time_ns(line))
    operation, status = attributes.get(semconv.OPERATION_NAME), _object(told.get("status"))
    node = Node(
        kind="call" if isinstance(operation, str) and operation in MODEL_CALLS else "span",
        name=_text(told.get("name")) or "span",
        start_ns=_time(told.get("start_time_unix_nano"), end),
        end_ns=end,
        cycle=max(0, line.cycle),
        pid=line.pid,
        trace_id=_text(told.get("trace_id")),
        span_id=_text(told.get("span_id")),
        parent_id=_text(told.get("parent_span_id")),
        foreign=scope if scope != semconv.SCOPE else "",
        attributes=attributes,
    )
    error = node.text(semconv.ERROR_TYPE)
    if error or status.get("code") == "ERROR":
        node.error = error or _text(status.get("description")) or "error"
    node.retried = tuple(_attempts(told.get("events")))
    return node


def _attempts(events: Any) -> Iterator[str]:
    for event in _list(events):
        told = _object(event)
        if told.get("name") == semconv.EVENT_ATTEMPT:
            attributes = _object(told.get("attributes"))
            yield str(attributes.get(semconv.HTTP_STATUS) or attributes.get(semconv.ERROR_TYPE) or "?")


def _event(line: Line) -> Node:
    at = reader.time_ns(line)
    # The parent of an event is the span that it was emitted in.
    return Node(
        "event", line.event, at, at, max(0, line.cycle), line.pid, line.trace_id or "", "", line.span_id or "",
        attributes=line.payload,
    )  # fmt: skip


def _linked(spans: dict[tuple[str, str], Node], events: list[Node]) -> list[Node]:
    """Hang every node under its parent; return those that have none here, in the order of their start."""
    tops: list[Node] = []
    for node in sorted([*spans.values(), *events], key=lambda node: node.start_ns):
        parent = spans.get((node.trace_id, node.parent_id)) if node.parent_id else None
        (tops if parent is None or parent is node else parent.children).append(node)
    seen = {node for top in tops for node, _ in walk(top)}
    for node in spans.values():
        if node not in seen:  # each is the other's parent: no honest tree has that
            parent = spans[node.trace_id, node.parent_id]
            parent.children.remove(node)
            tops.append(node)
            seen.update(found for found, _ in walk(node))
    return tops


def _root(run_id: str, tops: list[Node], agent: str) -> tuple[Node, bool]:
    """The run's own span with everything else below it, or a stand-in for it."""
    own = [node for node in tops if not node.foreign and node.text(semconv.OPERATION_NAME) == semconv.INVOKE_AGENT]
    if len(own) == 1:
        root = own[0]
        root.kind = "run"
        root.children = sorted([*root.children, *(node for node in tops if node is not root)], key=_start)
        return root, True
    start, end = min(node.start_ns for node in tops), max(node.end_ns for top in tops for node, _ in walk(top))
    return Node("run", f"run {agent or run_id}", start, end, pid=tops[0].pid, children=tops), False


def _group_by_cycle(root: Node) -> None:
    """Put the root's children that belong to a cycle under one node for each cycle."""
    cycles: dict[int, Node] = {}
    children: list[Node] = []
    for child in root.children:
        if not child.cycle:
            children.append(child)
            continue
        group = cycles.get(child.cycle)
        if group is None:
            group = cycles[child.cycle] = Node(
                "cycle", f"cycle {child.cycle}", child.start_ns, child.end_ns, child.cycle
            )
            group.pid = root.pid
            children.append(group)
        group.end_ns = max(group.end_ns, child.end_ns)
        group.children.append(child)
    for group in cycles.values():
        if len(group.children) == 1 and group.children[0].name == semconv.SPAN_CYCLE:
            # The agent's own word for the same: one line of the tree is enough.
            (own,) = group.children
            group.children, group.error = own.children, own.error
    root.children = children


def _sums(root: Node) -> tuple[Sums, dict[str, Sums]]:
    total, models = Sums(), dict[str, Sums]()
    for node in counted(root):
        total.add(node)
        models.setdefault(model(node), Sums()).add(node)
    return total, models


def counted(root: Node) -> Iterator[Node]:
    """The model calls whose numbers count, each token once."""
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, within = stack.pop()
        if node.kind == "call" and not within:
            # A call below a call (client over client, a library's own span) tells the same tokens again.
            yield node
            within = node.number(semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS) is not None
        stack += [(child, within) for child in reversed(node.children)]


def _plus(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more


def _start(node: Node) -> int:
    return node.start_ns


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time(value: Any, otherwise: int) -> int:
    return value if type(value) is int and value >= 0 else otherwise
