# SPDX-License-Identifier: Apache-2.0
"""What any number of events add up to, in one pass: a line is read for what is counted, and not kept.

A model call below a model call that tells tokens, and a tool's span below one of the same tool (client and server),
say the same thing again and are not counted: the tree of `show` has the same rule.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec

from .. import semconv
from ..envelope import categories
from ..ledger import reader
from ..ledger.salvage import nanoseconds
from ..ledger.segments import opened, raw
from ._tree import CACHE_WRITE, MODEL_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COUNTS = ("input", "cached", "cache_write", "output", "reasoning", "cost_microusd")
"""What calls add up to: fields of :class:`_Attributes`."""
_UNSAID = -1
_ALERT = "alert"
_STEP = 0x1FFF


class _Attributes(
    msgspec.Struct,
    rename={
        "operation": semconv.OPERATION_NAME,
        "model": semconv.REQUEST_MODEL,
        "answered": semconv.RESPONSE_MODEL,
        "tool": semconv.TOOL_NAME,
        "agent": semconv.AGENT_NAME,
        "input": semconv.USAGE_INPUT_TOKENS,
        "cached": semconv.USAGE_CACHE_READ,
        "cache_write": CACHE_WRITE[0],
        "cache_write_latest": CACHE_WRITE[-1],
        "output": semconv.USAGE_OUTPUT_TOKENS,
        "reasoning": semconv.USAGE_REASONING,
        "cost_microusd": semconv.COST_MICROUSD,
        "retries": semconv.RETRY_COUNT,
        "error": semconv.ERROR_TYPE,
        "outcome": semconv.RUN_OUTCOME,
    },
):
    operation: Any = None
    model: Any = None
    answered: Any = None
    tool: Any = None
    agent: Any = None
    input: Any = None
    cached: Any = None
    cache_write: Any = None
    cache_write_latest: Any = None
    output: Any = None
    reasoning: Any = None
    cost_microusd: Any = None
    retries: Any = None
    error: Any = None
    outcome: Any = None


class _Status(msgspec.Struct):
    code: Any = None


class _Payload(msgspec.Struct):
    name: Any = None
    span_id: Any = None
    parent_span_id: Any = None
    start_time_unix_nano: Any = None
    end_time_unix_nano: Any = None
    status: _Status | str | float | bool | list[Any] | None = None
    attributes: _Attributes | None = None
    state: Any = None
    dwell_ms: Any = None


class _Event(msgspec.Struct):
    event: str
    run_id: str
    timestamp: str
    payload: _Payload
    time_unix_nano: int | None = None


_decoder = msgspec.json.Decoder(_Event)


@dataclass(slots=True)
class Group:
    """Calls of a model, or of a tool. Durations in seconds; a count that none of them said is None."""

    kind: str
    """`call` or `tool`."""
    name: str
    count: int = 0
    errors: int = 0
    retries: int = 0
    durations: array[float] = field(default_factory=lambda: array("d"))
    sums: dict[str, int | None] = field(default_factory=lambda: dict[str, "int | None"].fromkeys(_COUNTS))

    def quantile(self, part: float) -> float:
        """The duration that ``part`` of them do not exceed; ``durations`` is sorted by :meth:`Facts.finish`."""
        return self.durations[max(0, math.ceil(part * len(self.durations)) - 1)] if self.durations else 0.0


@dataclass(slots=True)
class State:
    """A state of the agent's. ``seconds`` is the time in it, as far as its exits told."""

    entries: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Run:
    """A run. Times in ns since the epoch."""

    first_ns: int
    last_ns: int
    events: int = 0
    agent: str = ""
    outcome: str = ""


class _Spans:
    """The calls and tool runs, in columns: a row each. Those that tell what a span above them tells are taken out."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], Group] = {}
        self._ordered: list[Group] = []
        self._number: dict[tuple[str, str], int] = {}
        self._group, self._alive = array("I"), bytearray()
        self._seconds, self._failed, self._retries = array("d"), bytearray(), array("q")
        self._call = array("i")
        """A call's place among the counts."""
        self._counts = array("q")
        """Of each call as many as there are in :data:`_COUNTS`."""
        # Rows whose span has not ended above them yet, by the id of that span.
        self._waiting: dict[str, array[int]] = {}
        self._ended: dict[str, tuple[str, str]] = {}

    def add(self, payload: _Payload, told: _Attributes, key: tuple[str, str] | None) -> None:
        """Take a span; ``key`` is its kind and name, None where it is neither a call nor a tool's."""
        own, parent = payload.span_id, payload.parent_span_id
        rows = self._waiting.pop(own, None) if self._waiting and isinstance(own, str) else None
        if key is not None:
            row = self._row(payload, told, key)
            if (key[0] == "tool" or told.input is not None or told.output is not None) and isinstance(own, str):
                self._ended[own] = key
                if rows is not None:
                    self._take_out(rows, key)
            above = self._ended.get(parent) if isinstance(parent, str) else None
            if above is not None and _same(above, key):
                self._alive[row] = 0
            elif rows is None:
                rows = array("I", (row,))
            else:
                rows.append(row)
        if rows and isinstance(parent, str):
            waiting = self._waiting.get(parent)
            if waiting is None:
                self._waiting[parent] = rows
            else:
                waiting.extend(rows)

    def _row(self, payload: _Payload, told: _Attributes, key: tuple[str, str]) -> int:
        number = self._number.get(key)
        if number is None:
            number = self._number[key] = len(self._ordered)
            group = self.groups[key] = Group(*key)
            self._ordered.append(group)
        self._group.append(number)
        self._alive.append(1)
        start, end, status = payload.start_time_unix_nano, payload.end_time_unix_nano, payload.status
        self._seconds.append((end - start) / 1e9 if type(start) is int and type(end) is int and end > start else 0.0)
        self._failed.append(told.error is not None or (isinstance(status, _Status) and status.code == "ERROR"))
        self._retries.append(0 if told.retries is None else _count(told.retries, 0))
        if key[0] == "call":
            self._call.append(len(self._counts))
            written = told.cache_write if told.cache_write is not None else told.cache_write_latest
            values = (told.input, told.cached, written, told.output, told.reasoning, told.cost_microusd)
            self._counts.extend([_UNSAID if value is None else _count(value) for value in values])
        else:
            self._call.append(_UNSAID)
        return len(self._group) - 1

    def _take_out(self, rows: array[int], key: tuple[str, str]) -> None:
        for row in rows:
            group = self._ordered[self._group[row]]
            if _same(key, (group.kind, group.name)):
                self._alive[row] = 0

    def finish(self) -> None:
        """Add up the rows that count."""
        for row, number in enumerate(self._group):
            if not self._alive[row]:
                continue
            group = self._ordered[number]
            group.count += 1
            group.errors += self._failed[row]
            group.retries += self._retries[row]
            group.durations.append(self._seconds[row])
            if (place := self._call[row]) != _UNSAID:
                for name, value in zip(_COUNTS, self._counts[place : place + len(_COUNTS)], strict=True):
                    if value != _UNSAID:
                        group.sums[name] = (group.sums[name] or 0) + value
        for group in self._ordered:
            group.durations = array("d", sorted(group.durations))


def _same(above: tuple[str, str], below: tuple[str, str]) -> bool:
    return above[0] == below[0] and (above[0] == "call" or above[1] == below[1])


class Facts:
    """What the events say, added up."""

    def __init__(self) -> None:
        self.events = Counter[str]()
        """By their type."""
        self.unreadable = 0
        self.runs: dict[str, Run] = {}
        self.states: dict[str, State] = {}
        self._spans = _Spans()

    @property
    def groups(self) -> list[Group]:
        """Calls by model, then tools, each by how often; a group whose rows were all told elsewhere is none."""
        found = [group for group in self._spans.groups.values() if group.count]
        return sorted(found, key=lambda group: (group.kind, -group.count, group.name))

    @property
    def alerts(self) -> int:
        """Events of the group `alert` that tell of something wrong."""
        return sum(
            count
            for name, count in self.events.items()
            if (known := categories.find(name)) is not None and known.group == _ALERT and known.severity != "info"
        )

    def read(self, files: list[Path], run_id: str | None, step: Callable[[int], None]) -> None:
        """Take the lines of ``files``, or those of one run. Raises `OSError`."""
        before, decode = 0, _decoder.decode
        for file in files:
            at, name = 0, reader.run_by_name(file)
            with opened(file) as stream:
                for number, (data, at) in enumerate(raw(stream)):
                    try:
                        event = decode(data or b"")
                    except (ValueError, msgspec.MsgspecError, RecursionError):
                        event = _lenient(data, name) if data else None
                    if event is None:
                        self.unreadable += 1
                    elif run_id is None or event.run_id == run_id:
                        self._take(event)
                    if not number & _STEP:
                        step(before + at)
            before += at

    def _take(self, event: _Event) -> None:
        name, payload = event.event, event.payload
        self.events[name] += 1
        time = event.time_unix_nano
        if time is None:
            time = nanoseconds(event.timestamp)
        run = self.runs.get(event.run_id)
        if run is None:
            run = self.runs[event.run_id] = Run(time, time)
        run.events += 1
        if time > run.last_ns:
            run.last_ns = time
        elif time < run.first_ns:
            run.first_ns = time
        if name == semconv.EVENT_SPAN_ENDED:
            self._span(run, payload)
        elif name in (semconv.EVENT_STATE_ENTERED, semconv.EVENT_STATE_EXITED) and isinstance(payload.state, str):
            state = self.states.setdefault(payload.state, State())
            if name == semconv.EVENT_STATE_ENTERED:
                state.entries += 1
            elif isinstance(payload.dwell_ms, (int, float)):
                state.seconds += payload.dwell_ms / 1000

    def _span(self, run: Run, payload: _Payload) -> None:
        told = payload.attributes or _Attributes()
        operation, key = told.operation, None
        if not isinstance(operation, str):
            pass
        elif operation in MODEL_CALLS:
            model = told.model if isinstance(told.model, str) and told.model else told.answered
            key = ("call", model if isinstance(model, str) and model else "unknown")
        elif operation == semconv.EXECUTE_TOOL:
            key = ("tool", told.tool if isinstance(told.tool, str) and told.tool else "unknown")
        elif operation == semconv.INVOKE_AGENT:
            start = payload.start_time_unix_nano
            run.first_ns = min(run.first_ns, start) if type(start) is int and start >= 0 else run.first_ns
            run.agent = told.agent if isinstance(told.agent, str) else run.agent
            run.outcome = told.outcome if isinstance(told.outcome, str) else run.outcome
        self._spans.add(payload, told, key)

    def finish(self) -> Facts:
        """All was read: add up."""
        self._spans.finish()
        return self


def facts_of(files: list[Path], run_id: str | None, step: Callable[[int], None]) -> Facts:
    """What the events of ``files`` say, or those of one run in them. ``step`` is told how many bytes were read.

    Raises `OSError`.
    """
    found = Facts()
    found.read(files, run_id, step)
    return found.finish()


def _lenient(data: bytes, run_id: str) -> _Event | None:
    """A line that has another shape: with what of it can be used."""
    line = reader.line(data, run_id)
    if line is None:
        return None
    told: dict[str, Any] = {key: value for key, value in line.payload.items() if not isinstance(value, (dict, list))}
    for key in ("attributes", "status"):
        value = line.payload.get(key)
        told[key] = cast("dict[str, Any]", value) if isinstance(value, dict) else None
    payload = msgspec.convert(told, _Payload)
    return _Event(line.event, line.run_id, line.timestamp, payload, reader.time_ns(line))


def _count(value: Any, otherwise: int = _UNSAID) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else otherwise
